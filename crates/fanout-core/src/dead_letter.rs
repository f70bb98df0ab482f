//! Messages that a group gave up.

use crate::text_enum::text_enum;
use crate::{GroupName, Message, Timestamp};

text_enum! {
    /// Why a message was given up.
    DeadReason, "dead-letter reason" {
        /// Its last attempt failed.
        AttemptsExhausted = "attempts-exhausted",
        /// Its lease expired too often: it probably kills its consumers.
        Poison = "poison",
    }
}

/// A message that a group gave up. Outlives the message in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// A copy of the message.
    pub message: Message,
    /// The group that gave it up. Other groups are not concerned.
    pub group: GroupName,
    /// How many attempts failed.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: DeadReason,
    /// What the last failure said; `None` when no attempt failed.
    pub last_error: Option<String>,
    /// When it was given up.
    pub dead_at: Timestamp,
}
