//! Messages as they are stored and delivered.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{Error, ErrorKind, Headers, MessageId, Timestamp, TopicName};

/// A message of a topic's log. Immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The topic that it was published to.
    pub topic: TopicName,
    /// Its place in the log.
    pub id: MessageId,
    /// Its key: messages of one key share a lane.
    pub key: Option<String>,
    /// Its headers; empty when none were given.
    pub headers: Headers,
    /// Its payload.
    pub payload: Bytes,
    /// When it was written, by the engine's clock, before its transaction committed.
    pub created_at: Timestamp,
}

impl Message {
    /// Reads the payload as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the payload is not JSON of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.payload).map_err(|error| {
            Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "payload is not the expected json topic=`{}` id=`{}`",
                    self.topic, self.id
                ),
            )
            .with_source(error)
        })
    }
}
