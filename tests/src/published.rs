//! A message of a history.

use std::collections::BTreeSet;

use fanout_core::{MessageId, NewMessage, Timestamp};

use crate::acceptor::Seat;
use crate::reader::Channel;

/// The number of a message: the same on every engine, published or refused.
pub type Ordinal = usize;

/// A point in the history: later ones are greater.
pub type Moment = u64;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Refused,
    Open,
    Committed,
    RolledBack,
}

/// A message, and who must settle it and who has.
#[derive(Clone, Debug)]
pub struct Published {
    pub channel: Channel,
    pub message: NewMessage,
    pub fate: Fate,
    pub id: MessageId,
    pub created_at: Timestamp,
    /// The transaction that published it.
    pub tx: Moment,
    /// When it was published, and when that was committed.
    pub began: Moment,
    pub committed: Option<Moment>,
    /// Accounted for by tracking rows where no order is asked for; by cursors else.
    pub tracked: bool,
    pub required: BTreeSet<Seat>,
    pub completed: BTreeSet<Seat>,
}

/// The message with this number: from the number alone it can be told what it must look like.
pub fn message(ordinal: Ordinal, key: Option<u8>) -> NewMessage {
    let message = NewMessage::new(format!("message {ordinal}"));
    let message = match ordinal % 3 {
        0 => message.header("ordinal", ordinal),
        _ => message,
    };
    match key {
        Some(key) => message.key(format!("key {key}")),
        None => message,
    }
}
