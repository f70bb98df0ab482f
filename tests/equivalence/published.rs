//! A message of a history.

use std::collections::BTreeSet;

use fanout_core::{MessageId, NewMessage, Timestamp};

use crate::reader::{Channel, Reader};

/// The number of a message: the same on every engine, published or refused.
pub(crate) type Ordinal = usize;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Refused,
    Open,
    Committed,
    RolledBack,
}

/// A message, and who must settle it and who has.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) channel: Channel,
    pub(crate) message: NewMessage,
    pub(crate) fate: Fate,
    pub(crate) id: MessageId,
    pub(crate) created_at: Timestamp,
    pub(crate) required: BTreeSet<Reader>,
    pub(crate) completed: BTreeSet<Reader>,
}

/// The message with this number: from the number alone it can be told what it must look like.
pub(crate) fn message(ordinal: Ordinal, key: Option<u8>) -> NewMessage {
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
