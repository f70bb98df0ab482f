//! Messages on their way into a topic.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::{Error, ErrorKind, Headers};

/// Longest payload, in bytes: 16 MiB.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;
/// Longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;
/// Most bytes of payloads and keys in one publish: 256 MiB.
pub const MAX_BATCH_BYTES: usize = 256 << 20;

/// A message to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// Messages of one key share a lane, and keep their order in groups that want order.
    pub key: Option<String>,
    /// Headers; none by default.
    pub headers: Headers,
    /// The payload; may be empty.
    pub payload: Bytes,
}

impl NewMessage {
    /// A message without key and headers.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            ..Self::default()
        }
    }

    /// A message whose payload is `value` as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the value cannot be represented as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        serde_json::to_vec(value).map(Self::new).map_err(|error| {
            Error::new(ErrorKind::InvalidInput, "value cannot be written as json")
                .with_source(error)
        })
    }

    /// Sets the key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets one header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn check(&self, index: usize) -> Result<(), Error> {
        if self.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "payload is too large index=`{index}` bytes=`{}` limit=`{MAX_PAYLOAD_BYTES}`",
                    self.payload.len()
                ),
            ));
        }
        if let Some(key) = &self.key {
            if key.len() > MAX_KEY_BYTES {
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    format!(
                        "key is too large index=`{index}` bytes=`{}` limit=`{MAX_KEY_BYTES}`",
                        key.len()
                    ),
                ));
            }
            if key.contains('\0') {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!("key contains U+0000 index=`{index}`"),
                ));
            }
        }
        if self.headers.contains_nul() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("headers contain U+0000 index=`{index}`"),
            ));
        }
        Ok(())
    }

    /// Checks a batch as every engine must before it stores anything.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an empty batch or U+0000 in a key or header;
    /// [`ErrorKind::TooLarge`] beyond [`MAX_PAYLOAD_BYTES`], [`MAX_KEY_BYTES`] or
    /// [`MAX_BATCH_BYTES`].
    pub fn check_batch(messages: &[Self]) -> Result<(), Error> {
        if messages.is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "batch is empty"));
        }
        let mut bytes = 0_usize;
        for (index, message) in messages.iter().enumerate() {
            message.check(index)?;
            bytes += message.payload.len() + message.key.as_ref().map_or(0, String::len);
        }
        if bytes > MAX_BATCH_BYTES {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("batch is too large bytes=`{bytes}` limit=`{MAX_BATCH_BYTES}`"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_inclusive_and_typed() {
        let kind = |message: NewMessage| NewMessage::check_batch(&[message]).unwrap_err().kind();
        assert!(NewMessage::check_batch(&[NewMessage::new(vec![0; MAX_PAYLOAD_BYTES])]).is_ok());
        assert_eq!(
            kind(NewMessage::new(vec![0; MAX_PAYLOAD_BYTES + 1])),
            ErrorKind::TooLarge
        );
        assert!(NewMessage::check_batch(&[NewMessage::default().key("k".repeat(1024))]).is_ok());
        assert_eq!(
            kind(NewMessage::default().key("k".repeat(1025))),
            ErrorKind::TooLarge
        );
        assert_eq!(
            kind(NewMessage::default().key("a\0")),
            ErrorKind::InvalidInput
        );
        let nested = serde_json::json!([{ "deep": "\0" }]);
        assert_eq!(
            kind(NewMessage::default().header("h", nested)),
            ErrorKind::InvalidInput
        );
        assert_eq!(
            NewMessage::check_batch(&[]).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }

    #[test]
    fn a_batch_is_bounded_as_a_whole() {
        let messages = vec![NewMessage::new(Bytes::from(vec![0; MAX_PAYLOAD_BYTES])); 17];
        assert!(NewMessage::check_batch(&messages[..16]).is_ok());
        assert_eq!(
            NewMessage::check_batch(&messages).unwrap_err().kind(),
            ErrorKind::TooLarge
        );
    }
}
