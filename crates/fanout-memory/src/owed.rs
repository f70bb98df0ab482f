//! One message that one group owes.

use fanout_core::Timestamp;

/// What a group knows of a message that it owes.
#[derive(Debug)]
pub(crate) struct Owed {
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

    pub(crate) fn new() -> Self {
        Self {
            failures: 0,
            stalls: 0,
            last_error: None,
            lease: None,
            not_before: Self::AT_ONCE,
            settling: None,
        }
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.not_before <= now
    }

    pub(crate) fn has_token(&self, token: i64) -> bool {
        self.lease.is_some_and(|lease| lease.token == token)
    }
}
