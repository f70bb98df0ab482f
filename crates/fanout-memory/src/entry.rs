//! A message as the log keeps it.

use fanout_core::{Lane, Message};

/// A message and what was fixed when it was published.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) message: Message,
    pub(crate) cost: usize,
    pub(crate) lane: Lane,
    /// Whether the groups that take messages in any order account for it message by message.
    pub(crate) tracked: bool,
}
