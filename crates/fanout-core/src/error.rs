//! The public error.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of a fanout call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call is wrong in itself (a name, an empty batch, a value out of range).
    InvalidInput,
    /// A payload, a key, the headers or a batch exceeds a limit.
    TooLarge,
    /// There is no such topic.
    TopicNotFound,
    /// A topic of this name exists.
    TopicExists,
    /// There is no such subscription.
    SubscriptionNotFound,
    /// The subscription was cancelled, or died of missing heartbeats.
    SubscriptionEnded,
    /// The subscription's state does not allow this change.
    InvalidTransition,
    /// The topic blocks writes while no group is subscribed.
    NoSubscriptions,
    /// The log has no storage ready for the next ids.
    LeafMissing,
    /// The transaction's isolation level is not supported for this call.
    IsolationLevel,
    /// The engine, or this version of it, cannot do this.
    Unsupported,
    /// The receipt is not valid any more: its lease ended, or the message was settled.
    StaleReceipt,
    /// The receipt belongs to another topic, group or engine.
    ForeignReceipt,
    /// An earlier message of the same key is not settled yet.
    OutOfOrder,
    /// Another member owns the lane now.
    Fenced,
    /// A concurrent transaction did the same or an incompatible thing first.
    Conflict,
    /// A bounded engine is full.
    CapacityExceeded,
    /// The database's schema is older or newer than this library.
    SchemaMismatch,
    /// The database was restored from a dump of another cluster, and its transaction ids mean nothing here.
    NeedsRebase,
    /// Going on would lose messages that some group still needs.
    WouldLoseMessages,
    /// The engine, pool or member was closed.
    Closed,
    /// The database cannot be reached, or no connection came free in time.
    Unavailable,
    /// The connection broke around a commit: the change may or may not have happened.
    Unknown,
    /// The database refused for a reason of its own; see the source.
    Database,
}

impl ErrorKind {
    /// What to do about it, in one clause.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::InvalidInput => "correct the argument",
            Self::TooLarge => {
                "send less at once, or store the payload elsewhere and publish a reference"
            }
            Self::TopicNotFound => "create the topic first",
            Self::TopicExists => "use the existing topic, or choose another name",
            Self::SubscriptionNotFound => "subscribe the group first",
            Self::SubscriptionEnded => "subscribe the group again",
            Self::InvalidTransition => "look at the subscription's status first",
            Self::NoSubscriptions => {
                "subscribe a group, or allow writes without subscriptions on the topic"
            }
            Self::LeafMissing => "run maintenance, then publish again in a new transaction",
            Self::IsolationLevel => "use a READ COMMITTED transaction",
            Self::Unsupported => {
                "use what this version supports; the changelog tells what comes when"
            }
            Self::StaleReceipt => {
                "drop the receipt; if the message is still owed it is delivered again"
            }
            Self::ForeignReceipt => "settle it with a member of the group that fetched it",
            Self::OutOfOrder => "settle the earlier messages of the key first",
            Self::Fenced => "drop what is in hand; the lane's new owner delivers it",
            Self::Conflict => "roll back and try again",
            Self::CapacityExceeded => "settle messages, raise the limit, or use a durable engine",
            Self::SchemaMismatch => "run `fanout migrate up`, or upgrade the library",
            Self::NeedsRebase => "run `fanout rebase` while nothing publishes or consumes",
            Self::WouldLoseMessages => "let the groups settle or cancel them first, or force it",
            Self::Closed => "open or join again",
            Self::Unavailable => "try again later",
            Self::Unknown => "read back what happened before trying again",
            Self::Database => "see the source of the error",
        }
    }

    /// Whether the same call may succeed later without any change by the caller.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::LeafMissing | Self::Conflict | Self::CapacityExceeded | Self::Unavailable
        )
    }
}

/// What went wrong: a [kind](ErrorKind) that says what the caller can do, one line of message, and
/// the underlying error where there is one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a source. Messages are lowercase, with values as key=`value`.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the underlying error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller can do.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message alone, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}
