//! A message that a subscription owes.

use fanout_core::Timestamp;

/// What is known of it.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    pub(super) failures: u32,
    pub(super) last_error: Option<String>,
    /// After a failure: not delivered before.
    pub(super) due: Option<Timestamp>,
    pub(super) lease: Option<Lease>,
    /// How often it was delivered again after an expired lease.
    pub(super) stalls: u32,
    /// Its publisher was under way when the subscription began, so the engine may find it late.
    pub(super) lagging: bool,
}

/// Who has the message in hand, or had it when the lease expired.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    /// The number of the handed receipt.
    pub(super) handed: usize,
    pub(super) until: Timestamp,
    /// The session of the member that fetched it.
    pub(super) session: u32,
}

impl Owed {
    pub(super) const fn new(lagging: bool) -> Self {
        Self {
            failures: 0,
            last_error: None,
            due: None,
            lease: None,
            stalls: 0,
            lagging,
        }
    }

    /// A member has it under an unexpired lease.
    pub(super) fn is_in_flight(&self, now: Timestamp) -> bool {
        self.lease.is_some_and(|lease| lease.until > now)
    }

    pub(super) fn is_delayed(&self, now: Timestamp) -> bool {
        self.lease.is_none() && self.due.is_some_and(|due| due > now)
    }
}
