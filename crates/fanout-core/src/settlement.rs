//! What a member says of a delivery, and what became of it.

use serde::{Deserialize, Serialize};

use crate::{Receipt, Timestamp};

/// What a member says of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It was handled.
    Done,
    /// It shall not be handled; it counts as settled.
    Skip,
    /// Handling failed, for this reason: deliver it again later, or dead-letter it after the last
    /// attempt.
    Fail(String),
    /// It was not handled: deliver it again at once, as if it had not been fetched.
    Release,
}

/// One delivery and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// The delivery.
    pub receipt: Receipt,
    /// What is said of it.
    pub verdict: Verdict,
}

impl Settlement {
    /// [`Verdict::Done`].
    #[must_use]
    pub const fn done(receipt: Receipt) -> Self {
        Self {
            receipt,
            verdict: Verdict::Done,
        }
    }

    /// [`Verdict::Skip`].
    #[must_use]
    pub const fn skip(receipt: Receipt) -> Self {
        Self {
            receipt,
            verdict: Verdict::Skip,
        }
    }

    /// [`Verdict::Fail`].
    #[must_use]
    pub fn fail(receipt: Receipt, reason: impl Into<String>) -> Self {
        Self {
            receipt,
            verdict: Verdict::Fail(reason.into()),
        }
    }

    /// [`Verdict::Release`].
    #[must_use]
    pub const fn release(receipt: Receipt) -> Self {
        Self {
            receipt,
            verdict: Verdict::Release,
        }
    }
}

/// What became of one settlement. Durable when [effective](Self::is_effective).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done, skipped or released.
    Applied,
    /// Failed; delivered again at or after this time.
    Retry {
        /// When it is due.
        due: Timestamp,
    },
    /// Failed for the last time: settled, with a copy among the dead letters.
    DeadLettered,
    /// The receipt is stale; nothing changed.
    Stale,
    /// Order is kept per key, and an earlier message of the key is neither settled nor parked;
    /// nothing changed, and the receipt stays good.
    OutOfOrder,
    /// The message is read by cursor, and another member owns its lane by now; nothing changed.
    Fenced,
}

impl Outcome {
    /// Whether the settlement took effect.
    #[must_use]
    pub const fn is_effective(self) -> bool {
        !matches!(self, Self::Stale | Self::OutOfOrder | Self::Fenced)
    }
}

/// What became of one extension of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extension {
    /// The lease ends at this time now.
    Extended {
        /// The new end.
        until: Timestamp,
    },
    /// The receipt is stale; nothing changed.
    Stale,
}

/// Longest kept text of a failure, in bytes of UTF-8.
pub const MAX_ERROR_BYTES: usize = 4096;

/// For engines: the text of a failure as it is kept: without U+0000, which Postgres cannot hold,
/// and at most [`MAX_ERROR_BYTES`] long.
#[must_use]
pub fn stored_error(text: &str) -> String {
    let clean = text.replace('\0', "\u{fffd}");
    let end = (0..=MAX_ERROR_BYTES.min(clean.len()))
        .rev()
        .find(|end| clean.is_char_boundary(*end))
        .unwrap_or(0);
    clean[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_errors_fit_and_hold_no_nul() {
        assert_eq!(stored_error("a\0b"), "a\u{fffd}b");
        assert_eq!(stored_error(&"x".repeat(5000)).len(), MAX_ERROR_BYTES);
        let long = stored_error(&"é".repeat(3000).replacen('é', "e", 1));
        assert_eq!(
            long.len(),
            MAX_ERROR_BYTES - 1,
            "cut before the character that does not fit"
        );
    }
}
