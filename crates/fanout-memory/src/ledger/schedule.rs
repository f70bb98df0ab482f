//! When the messages of a ledger may be delivered.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use fanout_core::Timestamp;

use crate::owed::Owed;
use crate::place::Place;

/// The places of owed messages, each in exactly one of `ready` and `waiting`. `ready` may hold some
/// that are not due any more, because the clock stepped back; a claim puts them back when it meets
/// them.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    ready: BTreeSet<Place>,
    waiting: BTreeSet<(Timestamp, Place)>,
}

impl Schedule {
    pub(crate) fn add(&mut self, place: Place, not_before: Timestamp) {
        if not_before == Owed::AT_ONCE {
            self.ready.insert(place);
        } else {
            self.waiting.insert((not_before, place));
        }
    }

    pub(crate) fn remove(&mut self, place: Place, not_before: Timestamp) {
        if !self.waiting.remove(&(not_before, place)) {
            self.ready.remove(&place);
        }
    }

    /// Makes ready what has become due.
    pub(crate) fn wake(&mut self, now: Timestamp) {
        while let Some(&(at, place)) = self.waiting.first() {
            if at > now {
                break;
            }
            self.waiting.pop_first();
            self.ready.insert(place);
        }
    }

    /// The first ready place after this one, or of all.
    pub(crate) fn ready_after(&self, last: Option<Place>) -> Option<Place> {
        let after = last.map_or(Unbounded, Excluded);
        self.ready.range((after, Unbounded)).next().copied()
    }
}
