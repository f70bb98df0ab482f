//! What became of every message in every group.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use fanout_core::{Delivery, MessageId, Outcome};
use parking_lot::Mutex;
use serde::Serialize;

use crate::progress::Progress;

/// Counts that all tasks of a phase share.
#[derive(Debug)]
pub(super) struct Ledger {
    groups: Vec<Mutex<Books>>,
    published: Mutex<BTreeSet<MessageId>>,
    /// Each message counted once per group.
    progress: Progress,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Books {
    /// Whether the group wants order.
    ordered: bool,
    entries: HashMap<MessageId, Entry>,
    /// The last message of each key that was delivered for the first time.
    last: HashMap<String, MessageId>,
    inversions: u64,
    refused: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    deliveries: u32,
    applied: u32,
}

/// The ledger's bottom line, over all groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Sum {
    pub(super) published: u64,
    pub(super) delivered: u64,
    pub(super) redelivered: u64,
    pub(super) settled: u64,
    /// Settlements that were stale, fenced or out of order.
    pub(super) refused: u64,
    /// Published, and not settled by a group.
    pub(super) lost: u64,
    pub(super) settled_twice: u64,
    pub(super) never_published: u64,
    /// First deliveries after a later message of the key, in groups that want order.
    pub(super) inversions: u64,
}

impl Ledger {
    /// For groups of which each says whether it wants order.
    pub(super) fn new(ordered: impl IntoIterator<Item = bool>) -> Self {
        let books = |ordered| {
            Mutex::new(Books {
                ordered,
                ..Books::default()
            })
        };
        let groups: Vec<_> = ordered.into_iter().map(books).collect();
        Self {
            progress: Progress::new(u32::try_from(groups.len()).unwrap_or(u32::MAX)),
            groups,
            published: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn published(&self, ids: &[MessageId]) {
        self.published.lock().extend(ids);
        self.progress.publish(ids.len() as u64);
    }

    /// All are published.
    pub(super) fn end(&self) {
        self.progress.end();
    }

    /// Before anything is said of the deliveries.
    pub(super) fn delivered(&self, group: usize, deliveries: &[Delivery]) {
        let mut books = self.groups[group].lock();
        for delivery in deliveries {
            let id = delivery.message.id;
            let entry = books.entries.entry(id).or_default();
            entry.deliveries += 1;
            if entry.deliveries > 1 || !books.ordered {
                continue;
            }
            if let Some(key) = &delivery.message.key {
                // Ids of a key ascend as they commit: each publisher has keys of its own.
                let before = books.last.insert(key.clone(), id);
                books.inversions += u64::from(before.is_some_and(|before| before > id));
            }
        }
    }

    pub(super) fn settled(&self, group: usize, deliveries: &[Delivery], outcomes: &[Outcome]) {
        let mut books = self.groups[group].lock();
        let mut first = 0;
        for (delivery, outcome) in deliveries.iter().zip(outcomes) {
            if outcome.is_effective() {
                let entry = books.entries.entry(delivery.message.id).or_default();
                entry.applied += 1;
                first += usize::from(entry.applied == 1);
            } else {
                books.refused += 1;
            }
        }
        drop(books);
        self.progress.settle(group, first);
    }

    /// Each message counted once per group.
    pub(super) fn settled_so_far(&self) -> u64 {
        self.progress.settled()
    }

    /// Nothing is waited for any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// Whether the group need not go on.
    pub(super) fn is_through(&self, group: usize) -> bool {
        self.closed.load(Relaxed) || self.progress.is_through(group)
    }

    pub(super) fn sum(&self) -> Sum {
        let published = self.published.lock();
        let mut sum = Sum {
            published: published.len() as u64,
            ..Sum::default()
        };
        for books in &self.groups {
            let books = books.lock();
            sum.inversions += books.inversions;
            sum.refused += books.refused;
            for (id, entry) in &books.entries {
                sum.delivered += u64::from(entry.deliveries);
                sum.redelivered += u64::from(entry.deliveries.saturating_sub(1));
                sum.settled += u64::from(entry.applied);
                sum.settled_twice += u64::from(entry.applied > 1);
                sum.never_published += u64::from(!published.contains(id));
            }
            let is_lost = |id: &&MessageId| books.entries.get(id).is_none_or(|e| e.applied == 0);
            sum.lost += published.iter().filter(is_lost).count() as u64;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use fanout_core::{
        GroupIndex, Message, Receipt, ReceiptForm, SubscriptionId, Timestamp, TopicId, TopicName,
        TrackedReceipt,
    };

    use super::*;

    fn delivery(id: i64) -> Delivery {
        let receipt = ReceiptForm::Tracked(TrackedReceipt {
            topic: TopicId(1),
            subscription: SubscriptionId(1),
            group: GroupIndex(0),
            id: MessageId(id),
            attempt: 1,
            token: 1,
        });
        Delivery {
            message: Message {
                topic: TopicName::new("t").unwrap(),
                id: MessageId(id),
                key: Some("k".to_owned()),
                headers: fanout_core::Headers::default(),
                payload: "m".into(),
                created_at: Timestamp::UNIX_EPOCH,
            },
            attempt: 1,
            until: Timestamp::UNIX_EPOCH,
            receipt: Receipt::new(receipt),
        }
    }

    #[test]
    fn tells_what_was_lost_doubled_and_inverted() {
        let ledger = Ledger::new([true, false]);
        ledger.published(&[1, 2, 3].map(MessageId));
        let all = [2, 1, 1, 4].map(delivery);
        for group in [0, 1] {
            ledger.delivered(group, &all);
            let outcomes = [
                Outcome::Applied,
                Outcome::Applied,
                Outcome::Applied,
                Outcome::Stale,
            ];
            ledger.settled(group, &all, &outcomes);
        }
        let expected = Sum {
            published: 3,
            delivered: 8,
            redelivered: 2,
            settled: 6,
            refused: 2,
            lost: 2,
            settled_twice: 2,
            never_published: 2,
            inversions: 1,
        };
        assert_eq!(ledger.sum(), expected);
        ledger.end();
        assert!(!ledger.is_through(0), "two of three are settled");
        ledger.close();
        assert!(ledger.is_through(0));
    }
}
