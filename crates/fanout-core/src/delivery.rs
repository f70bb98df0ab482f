//! What a fetch returns.

use serde::{Deserialize, Serialize};

use crate::{Message, MessageId, Receipt, Timestamp};

/// One message handed to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Which attempt this is: 1 + the failures so far. An expired lease is no failure.
    pub attempt: u32,
    /// The end of the lease: until then no other member gets the message.
    pub until: Timestamp,
    /// What settles, extends or releases it.
    pub receipt: Receipt,
}

/// Why messages that a group was owed cannot be delivered any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GapReason {
    /// They were dropped by the topic's `max_retention`.
    MaxRetention,
    /// They were beyond the number of messages that a resurrected group gets back.
    ResurrectionLimit,
}

/// A range of messages that a group was owed and will not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first id of the range.
    pub from: MessageId,
    /// The last id of the range.
    pub to: MessageId,
    /// How many messages the group was owed in it.
    pub count: u64,
    /// Why.
    pub reason: GapReason,
}

/// What a fetch returns: possibly nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The messages, at most as many as asked for.
    pub deliveries: Vec<Delivery>,
    /// Gaps that were found since the last fetch; each is reported once.
    pub gaps: Vec<Gap>,
}
