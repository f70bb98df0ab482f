//! Subscriptions: one group's independent reading of one topic.

use serde::{Deserialize, Serialize};

use crate::{
    GroupIndex, GroupName, MessageId, SubscriptionId, SubscriptionOptions, SubscriptionStatus,
    Timestamp, TopicName,
};

/// Where a new subscription starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartPosition {
    /// Messages that commit after the subscription. The default.
    #[default]
    FromNow,
    /// Every message that is still kept.
    FromBeginning,
    /// Messages with this id or a higher one, and those that commit after the subscription.
    FromMessage(MessageId),
    /// Messages written at this time or later, and those that commit after the subscription.
    FromTimestamp(Timestamp),
}

/// What `subscribe` is asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subscribe {
    /// Where to start. Ignored when the group is subscribed already: subscribing again moves
    /// nothing.
    pub start: StartPosition,
    /// How to deliver.
    pub options: SubscriptionOptions,
}

impl From<SubscriptionOptions> for Subscribe {
    fn from(options: SubscriptionOptions) -> Self {
        Self {
            start: StartPosition::default(),
            options,
        }
    }
}

/// A group's subscription to a topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Subscription {
    /// This incarnation of the subscription.
    pub id: SubscriptionId,
    /// The topic.
    pub topic: TopicName,
    /// The group.
    pub group: GroupName,
    /// The group's bit.
    pub group_index: GroupIndex,
    /// Its place in the life cycle.
    pub status: SubscriptionStatus,
    /// Where it started.
    pub start: StartPosition,
    /// How it delivers.
    pub options: SubscriptionOptions,
    /// When it was made.
    pub subscribed_at: Timestamp,
    /// When its status last changed.
    pub status_changed_at: Timestamp,
    /// When the group last gave a sign of life.
    pub last_heartbeat_at: Timestamp,
}
