//! Messages as the log holds them.

use bytes::Bytes;
use fanout_core::{Headers, Lane, Message, MessageId, Timestamp, TopicName};

/// A message of the log, shared by all groups that read it.
#[derive(Debug)]
pub(crate) struct LogRow {
    pub(crate) lane: Lane,
    pub(crate) id: i64,
    /// The transaction that published it.
    pub(crate) transaction: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) key: Option<String>,
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
}

/// What a row takes in memory beside its key and payload: a guess that is rather high.
const OVERHEAD: usize = 256;

impl LogRow {
    /// About how much memory it takes, in bytes. Headers are few.
    pub(crate) fn bytes(&self) -> usize {
        OVERHEAD + self.payload.len() + self.key.as_ref().map_or(0, String::len)
    }

    pub(crate) fn message(&self, topic: &TopicName) -> Message {
        Message {
            topic: topic.clone(),
            id: MessageId(self.id),
            key: self.key.clone(),
            headers: self.headers.clone(),
            payload: self.payload.clone(),
            created_at: self.created_at,
        }
    }
}
