//! One message that one group owes.

use std::sync::Arc;

use fanout_core::{Ordering, Timestamp};

use crate::entry::Entry;
use crate::log::Stored;
use crate::path::Path;
use crate::place::Place;

/// What a group knows of a message that it owes.
#[derive(Debug)]
pub(crate) struct Owed {
    pub(crate) entry: Arc<Entry>,
    pub(crate) place: Place,
    pub(crate) path: Path,
    pub(crate) failures: u32,
    pub(crate) stalls: u32,
    pub(crate) last_error: Option<String>,
    pub(crate) lease: Option<Lease>,
    /// When it may be delivered (again): the end of the lease, or the due time after a failure.
    pub(crate) not_before: Timestamp,
    /// The open transaction that settles it when it commits.
    pub(crate) settling: Option<u64>,
}

/// Who has the message in hand, or had it when the lease ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) token: i64,
    pub(crate) holder: u64,
}

impl Owed {
    /// Earlier than any clock.
    pub(crate) const AT_ONCE: Timestamp = Timestamp::from_micros(i64::MIN);

    pub(crate) fn new(stored: &Stored, ordering: Ordering) -> Self {
        let entry = Arc::clone(&stored.entry);
        let id = entry.message.id;
        Self {
            place: match ordering {
                Ordering::Unordered => Place::by_id(id),
                Ordering::PerKey => Place::in_log(stored.commit, id),
            },
            path: Path::of(ordering, entry.tracked),
            entry,
            failures: 0,
            stalls: 0,
            last_error: None,
            lease: None,
            not_before: Self::AT_ONCE,
            settling: None,
        }
    }

    /// The key whose order it keeps.
    pub(crate) fn ordered_key(&self) -> Option<&str> {
        match self.path {
            Path::Lane => self.entry.message.key.as_deref(),
            Path::Alone | Path::Stream => None,
        }
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.not_before <= now
    }

    pub(crate) fn has_token(&self, token: i64) -> bool {
        self.lease.is_some_and(|lease| lease.token == token)
    }

    /// Whether this member holds it under an unexpired lease.
    pub(crate) fn is_in_hand_of(&self, holder: u64, now: Timestamp) -> bool {
        !self.is_due(now) && self.lease.is_some_and(|lease| lease.holder == holder)
    }
}
