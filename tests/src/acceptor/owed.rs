//! A message that a subscription owes.

use std::collections::BTreeSet;

use fanout_core::Timestamp;

use crate::published::Ordinal;

/// What is known of it.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub(super) failures: u32,
    pub(super) last_error: Option<String>,
    /// After a failure: not delivered before.
    pub(super) due: Option<Timestamp>,
    pub(super) lease: Option<Lease>,
    /// It failed, and the reading by cursor went on without it: it has no place in any order any more.
    pub(super) parked: bool,
    /// How often it was delivered again after an expired lease, as far as that can be told.
    pub(super) stalls: u32,
    /// The engine may find it late: it was published, or was being published, before the
    /// subscription began there.
    pub(super) lagging: bool,
}

/// Who has the message in hand, or had it when the lease expired.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    /// The number of the handed receipt.
    pub(super) handed: usize,
    pub(super) until: Timestamp,
    /// The session of the member that fetched it.
    pub(super) session: u32,
    pub(super) place: Place,
    /// A failure in the lane released it, or not: that is the engine's to say.
    pub(super) doubtful: bool,
}

/// What a delivery revealed of the order among messages of a key whose publishers overlapped.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Those that come earlier.
    pub(super) after: BTreeSet<Ordinal>,
    /// Those that may.
    pub(super) perhaps_after: BTreeSet<Ordinal>,
}

impl Owed {
    pub(super) const fn new(lagging: bool) -> Self {
        Self {
            failures: 0,
            last_error: None,
            due: None,
            lease: None,
            parked: false,
            stalls: 0,
            lagging,
        }
    }

    /// The lease, if it is open.
    pub(super) fn open_lease(&self, now: Timestamp) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.until > now)
    }

    /// A member has it for certain under an open lease.
    pub(super) fn is_in_flight(&self, now: Timestamp) -> bool {
        self.open_lease(now).is_some_and(|lease| !lease.doubtful)
    }

    /// A member may have it under an open lease.
    pub(super) fn may_be_in_flight(&self, now: Timestamp) -> bool {
        self.open_lease(now).is_some()
    }

    /// It failed and is not due yet.
    pub(super) fn is_delayed(&self, now: Timestamp) -> bool {
        self.lease.is_none() && self.due.is_some_and(|due| due > now)
    }

    /// It is in nobody's hand any more.
    pub(super) fn give_back(&mut self) {
        self.lease = None;
        self.due = None;
    }
}
