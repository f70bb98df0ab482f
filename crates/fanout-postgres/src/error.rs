//! How the driver's errors become the public one.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use fanout_core::{Error, ErrorKind, Result};

/// What a broken connection means for the statement that was under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing: it only read, or its transaction cannot have committed.
    None,
    /// It, or the COMMIT that it was, may have become durable.
    Possible,
}

/// Maps the result of a statement.
pub(crate) trait ResultExt<T> {
    /// For a statement that only reads, or is followed by an explicit commit.
    fn reading(self) -> Result<T>;
    /// For a statement that commits by itself, and for COMMIT.
    fn committing(self) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T, DieselError> {
    fn reading(self) -> Result<T> {
        self.map_err(|error| public(error, Effect::None))
    }

    fn committing(self) -> Result<T> {
        self.map_err(|error| public(error, Effect::Possible))
    }
}

fn public(error: DieselError, effect: Effect) -> Error {
    let (kind, message) = classify(&error, effect);
    Error::new(kind, message).with_source(error)
}

/// The kind and the one-line message of a driver's error.
pub(crate) fn classify(error: &DieselError, effect: Effect) -> (ErrorKind, String) {
    match error {
        DieselError::DatabaseError(
            DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection,
            info,
        ) => {
            let message = one_line(info.message());
            match effect {
                Effect::None => (
                    ErrorKind::Unavailable,
                    format!("connection broke: {message}"),
                ),
                Effect::Possible => (
                    ErrorKind::Unknown,
                    format!("connection broke before the answer, the change may stand: {message}"),
                ),
            }
        }
        DieselError::DatabaseError(kind, info) => (
            kind_of(*kind, info.constraint_name(), info.message()),
            one_line(info.message()),
        ),
        DieselError::BrokenTransactionManager => (
            ErrorKind::Unavailable,
            "the connection's transaction is broken".to_owned(),
        ),
        other => (ErrorKind::Database, one_line(&other.to_string())),
    }
}

/// The functions in the database raise their errors with a constraint's name of the form
/// `fanout_<kind>`, because diesel does not show SQLSTATEs.
fn kind_of(kind: DatabaseErrorKind, constraint: Option<&str>, message: &str) -> ErrorKind {
    match constraint {
        Some("fanout_empty_batch" | "fanout_batch_shape" | "fanout_headers_object") => {
            return ErrorKind::InvalidInput;
        }
        Some("fanout_key_size" | "fanout_payload_size") => return ErrorKind::TooLarge,
        Some("fanout_topic_not_found") => return ErrorKind::TopicNotFound,
        Some("fanout_isolation") => return ErrorKind::IsolationLevel,
        Some("fanout_leaf_missing") => return ErrorKind::LeafMissing,
        Some("fanout_no_subscriptions") => return ErrorKind::NoSubscriptions,
        Some("fanout_stale_receipt") => return ErrorKind::StaleReceipt,
        Some("fanout_out_of_order") => return ErrorKind::OutOfOrder,
        Some("fanout_would_lose_messages") => return ErrorKind::WouldLoseMessages,
        Some("fanout_encoding") => return ErrorKind::Unsupported,
        Some("fanout_needs_rebase" | "fanout_xids") => return ErrorKind::NeedsRebase,
        Some("outbox_settlements_pkey" | "fanout_in_use") => return ErrorKind::Conflict,
        Some("outbox_topics_name_key") => return ErrorKind::TopicExists,
        _ => {}
    }
    if kind == DatabaseErrorKind::SerializationFailure
        || message == "deadlock detected"
        || message == "canceling statement due to lock timeout"
        || message.starts_with("current transaction is aborted")
    {
        return ErrorKind::Conflict;
    }
    if message.starts_with("terminating connection due to") {
        return ErrorKind::Unavailable;
    }
    ErrorKind::Database
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The receipt belongs to another topic or group.
pub(crate) fn foreign_receipt(receipt: &fanout_core::Receipt) -> Error {
    Error::new(
        ErrorKind::ForeignReceipt,
        format!(
            "receipt belongs to another topic or group topic_id=`{}` group_index=`{}` id=`{}`",
            receipt.topic(),
            receipt.group(),
            receipt.id()
        ),
    )
}

/// There is no such topic.
pub(crate) fn topic_not_found(topic: &fanout_core::TopicName) -> Error {
    Error::new(
        ErrorKind::TopicNotFound,
        format!("topic not found topic=`{topic}`"),
    )
}

/// The database holds a value that this version does not know.
pub(crate) fn corrupt(what: &str, value: &dyn std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Database,
        format!("database holds an unknown {what} value=`{value}`"),
    )
}

/// The subscription was cancelled or died.
pub(crate) fn subscription_ended(subscription: &fanout_core::Subscription) -> Error {
    Error::new(
        ErrorKind::SubscriptionEnded,
        format!(
            "subscription has ended topic=`{}` group=`{}` status=`{}`",
            subscription.topic, subscription.group, subscription.status
        ),
    )
}
