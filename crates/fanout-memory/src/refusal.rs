//! Why the engine refuses; mapped to the public error in one place.

use fanout_core::{
    Error, ErrorKind, GroupName, InvalidTransition, MAX_GROUPS, MessageId, SubscriptionStatus,
    TopicName,
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// A check of the core refused.
    #[error(transparent)]
    Core(#[from] Error),
    #[error("the memory engine was closed")]
    Closed,
    #[error("the member has left topic=`{topic}` group=`{group}`")]
    Left { topic: TopicName, group: GroupName },
    #[error("there is no such topic topic=`{0}`")]
    TopicNotFound(TopicName),
    #[error("the topic was deleted topic=`{0}`")]
    TopicDeleted(TopicName),
    #[error("the topic exists topic=`{0}`")]
    TopicExists(TopicName),
    #[error("{messages} messages are unsettled topic=`{topic}`")]
    WouldLoseMessages { topic: TopicName, messages: usize },
    #[error("the group is not subscribed topic=`{topic}` group=`{group}`")]
    SubscriptionNotFound { topic: TopicName, group: GroupName },
    #[error("the subscription has ended topic=`{topic}` group=`{group}` status=`{status}`")]
    SubscriptionEnded {
        topic: TopicName,
        group: GroupName,
        status: SubscriptionStatus,
    },
    #[error("{source} topic=`{topic}` group=`{group}`")]
    InvalidTransition {
        topic: TopicName,
        group: GroupName,
        source: InvalidTransition,
    },
    #[error("cannot seek a subscription with status=`{status}` topic=`{topic}` group=`{group}`")]
    NotSought {
        topic: TopicName,
        group: GroupName,
        status: SubscriptionStatus,
    },
    #[error("a queue's subscription cannot be cancelled: delete the topic topic=`{0}`")]
    QueueCancelled(TopicName),
    #[error("a queue has its own subscription and takes no others topic=`{0}`")]
    QueueSubscribed(TopicName),
    #[error("a queue is joined without a group topic=`{topic}` group=`{group}`")]
    GroupOnQueue { topic: TopicName, group: GroupName },
    #[error("a pub/sub topic is joined with a group topic=`{0}`")]
    NoGroup(TopicName),
    #[error(
        "the ordering of a live subscription cannot change topic=`{topic}` group=`{group}` \
         ordering=`{ordering}`"
    )]
    OrderingFixed {
        topic: TopicName,
        group: GroupName,
        ordering: fanout_core::Ordering,
    },
    #[error("the topic has as many groups as it can topic=`{topic}` limit=`{MAX_GROUPS}`")]
    TooManyGroups { topic: TopicName },
    #[error("a fetch takes at least one message limit=`0`")]
    ZeroLimit,
    #[error("the topic blocks writes while no group is subscribed topic=`{0}`")]
    NoSubscriptions(TopicName),
    #[error(
        "the memory engine is full, also without every message that no group owes \
         needed=`{needed}` used=`{used}` evictable=`{evictable}` dead_letters=`{dead_letters}` \
         max_bytes=`{max}`"
    )]
    Full {
        needed: usize,
        used: usize,
        evictable: usize,
        dead_letters: usize,
        max: usize,
    },
    #[error("the receipt is of another topic, group or engine id=`{0}`")]
    ForeignReceipt(MessageId),
    #[error("the receipt is stale: its message was delivered again, settled or released id=`{0}`")]
    StaleReceipt(MessageId),
    #[error("an earlier message of the key is neither settled nor parked id=`{0}`")]
    OutOfOrder(MessageId),
    #[error("another open transaction settles the message id=`{0}`")]
    SettledElsewhere(MessageId),
    #[error("the message was settled while the transaction was open id=`{0}`")]
    SettledMeanwhile(MessageId),
    #[error("a settlement in the transaction was refused, so it can only be rolled back")]
    MustRollBack(ErrorKind),
    #[error("the transaction belongs to another memory engine")]
    ForeignTransaction,
}

impl Refusal {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::Closed | Self::Left { .. } => ErrorKind::Closed,
            Self::TopicNotFound(_) | Self::TopicDeleted(_) => ErrorKind::TopicNotFound,
            Self::TopicExists(_) => ErrorKind::TopicExists,
            Self::WouldLoseMessages { .. } => ErrorKind::WouldLoseMessages,
            Self::SubscriptionNotFound { .. } => ErrorKind::SubscriptionNotFound,
            Self::SubscriptionEnded { .. } => ErrorKind::SubscriptionEnded,
            Self::InvalidTransition { .. } | Self::NotSought { .. } | Self::QueueCancelled(_) => {
                ErrorKind::InvalidTransition
            }
            Self::QueueSubscribed(_)
            | Self::GroupOnQueue { .. }
            | Self::NoGroup(_)
            | Self::OrderingFixed { .. }
            | Self::ZeroLimit
            | Self::ForeignTransaction => ErrorKind::InvalidInput,
            Self::TooManyGroups { .. } | Self::Full { .. } => ErrorKind::CapacityExceeded,
            Self::NoSubscriptions(_) => ErrorKind::NoSubscriptions,
            Self::ForeignReceipt(_) => ErrorKind::ForeignReceipt,
            Self::StaleReceipt(_) => ErrorKind::StaleReceipt,
            Self::OutOfOrder(_) => ErrorKind::OutOfOrder,
            Self::SettledElsewhere(_) | Self::SettledMeanwhile(_) => ErrorKind::Conflict,
            Self::MustRollBack(kind) => *kind,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let (kind, message) = (refusal.kind(), refusal.to_string());
        match refusal {
            Refusal::Core(error) => error,
            Refusal::InvalidTransition { source, .. } => {
                Self::new(kind, message).with_source(source)
            }
            _ => Self::new(kind, message),
        }
    }
}
