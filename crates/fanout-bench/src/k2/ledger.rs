//! What became of every message, as members saw it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use fanout_core::{MessageId, Outcome};
use parking_lot::Mutex;

/// Counts that all processes share.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    books: Mutex<Books>,
    through: AtomicBool,
}

#[derive(Debug, Default)]
struct Books {
    /// By id: the ids of a new topic are small and dense.
    entries: Vec<Entry>,
    fenced: u64,
    stale: u64,
}

/// One message.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    published: bool,
    deliveries: u32,
    applied: u32,
    /// Commits that were cut off, or are under way: they took effect or not.
    doubtful: u32,
}

/// The ledger's bottom line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) published: u64,
    pub(super) delivered: u64,
    /// Deliveries of a message after its first.
    pub(super) redelivered: u64,
    /// Settlements that took effect for sure.
    pub(super) applied: u64,
    pub(super) fenced: u64,
    pub(super) stale: u64,
    /// Published, and no settlement can have taken effect.
    pub(super) lost: u64,
    pub(super) settled_twice: u64,
    pub(super) never_published: u64,
}

impl Ledger {
    pub(super) fn published(&self, ids: &[MessageId]) {
        let mut books = self.books.lock();
        for id in ids {
            books.entry(*id).published = true;
        }
    }

    pub(super) fn delivered(&self, ids: &[MessageId]) {
        let mut books = self.books.lock();
        for id in ids {
            books.entry(*id).deliveries += 1;
        }
    }

    /// A commit begins.
    pub(super) fn begin(&self, ids: &[MessageId]) {
        let mut books = self.books.lock();
        for id in ids {
            books.entry(*id).doubtful += 1;
        }
    }

    /// A commit has returned.
    pub(super) fn end(&self, ids: &[MessageId], outcomes: &[Outcome]) {
        let mut books = self.books.lock();
        for (id, outcome) in ids.iter().zip(outcomes) {
            let entry = books.entry(*id);
            entry.doubtful -= 1;
            match outcome {
                Outcome::Fenced => books.fenced += 1,
                effective if effective.is_effective() => entry.applied += 1,
                _ => books.stale += 1,
            }
        }
    }

    /// Nothing is owed any more: processes may end.
    pub(super) fn close(&self) {
        self.through.store(true, Relaxed);
    }

    pub(super) fn is_through(&self) -> bool {
        self.through.load(Relaxed)
    }

    pub(super) fn sum(&self) -> Sum {
        let books = self.books.lock();
        let mut sum = Sum {
            fenced: books.fenced,
            stale: books.stale,
            ..Sum::default()
        };
        for entry in &books.entries {
            let settled = entry.applied > 0 || entry.doubtful > 0;
            sum.published += u64::from(entry.published);
            sum.delivered += u64::from(entry.deliveries);
            sum.redelivered += u64::from(entry.deliveries.saturating_sub(1));
            sum.applied += u64::from(entry.applied);
            sum.lost += u64::from(entry.published && !settled);
            sum.settled_twice += u64::from(entry.applied > 1);
            sum.never_published += u64::from(entry.deliveries > 0 && !entry.published);
        }
        sum
    }
}

impl Books {
    fn entry(&mut self, id: MessageId) -> &mut Entry {
        let place = usize::try_from(id.0).expect("ids are not negative");
        if place >= self.entries.len() {
            self.entries.resize(place + 1, Entry::default());
        }
        &mut self.entries[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_was_lost_and_what_may_have_been_settled() {
        let ledger = Ledger::default();
        let [settled, cut_off, fenced, phantom] = [1, 2, 3, 4].map(|id| [MessageId(id)]);
        ledger.published(&[1, 2, 3].map(MessageId));
        for one in [&settled, &settled, &cut_off, &fenced, &phantom] {
            ledger.delivered(one);
        }
        for one in [&settled, &cut_off, &fenced] {
            ledger.begin(one);
        }
        ledger.end(&settled, &[Outcome::Applied]);
        ledger.end(&fenced, &[Outcome::Fenced]);
        let sum = ledger.sum();
        let expected = Sum {
            published: 3,
            delivered: 5,
            redelivered: 1,
            applied: 1,
            fenced: 1,
            stale: 0,
            lost: 1,
            settled_twice: 0,
            never_published: 1,
        };
        assert_eq!(sum, expected);
        ledger.begin(&settled);
        ledger.end(&settled, &[Outcome::Applied]);
        assert_eq!(ledger.sum().settled_twice, 1);
    }
}
