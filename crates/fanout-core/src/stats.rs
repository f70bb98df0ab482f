//! What can be read of the accounting.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::{GroupName, MessageId, SubscriptionStatus, Timestamp};

/// Where a group stands in a topic. Counts are exact at the moment of reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupStats {
    /// The group.
    pub group: GroupName,
    /// The status of its subscription.
    pub status: SubscriptionStatus,
    /// Messages that it owes a settlement, those in hand included.
    pub pending: u64,
    /// Those of them that a member holds under an unexpired lease. Of messages that are read by
    /// cursor, those that members of this process hold.
    pub in_flight: u64,
    /// Those of them that failed and are not due yet, a lane that waits for one counted once.
    pub delayed: u64,
    /// The lowest message that it owes.
    pub lowest_unsettled: Option<MessageId>,
    /// When that message was written.
    pub oldest_pending_at: Option<Timestamp>,
    /// Messages that it gave up.
    pub dead_letters: u64,
    /// When these figures were read.
    pub read_at: Timestamp,
}

impl GroupStats {
    /// The age of the oldest message that the group owes; zero when it owes none.
    #[must_use]
    pub fn lag(&self) -> Duration {
        self.oldest_pending_at
            .map_or(Duration::ZERO, |oldest| self.read_at.since(oldest))
    }
}

/// What a group still owes of the messages that were published under one mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupRemaining {
    /// The group.
    pub group: GroupName,
    /// The status of its subscription. One that is paused settles nothing, so what remains stays.
    pub status: SubscriptionStatus,
    /// Messages that it owes a settlement, those in hand included.
    pub messages: u64,
}

/// Up to where a topic is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Watermark {
    /// Every message up to this one is settled for every group that counts. 0 before the first.
    pub id: MessageId,
    /// Every message up to this one has committed or rolled back; never below `id`.
    pub decided: MessageId,
    /// When that was recorded.
    pub updated_at: Timestamp,
}

/// Who must settle one tracked message and who has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessageAccounting {
    /// The message.
    pub id: MessageId,
    /// The groups that must settle it: fixed at publish; shrinks only by death or cancellation,
    /// grows only by backfill, or when a new subscription catches up with publishers that were open.
    pub required: BTreeSet<GroupName>,
    /// Those of them that have.
    pub completed: BTreeSet<GroupName>,
    /// When the last of them did.
    pub completed_at: Option<Timestamp>,
}
