//! The engine, as consumers and operators see it.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    CompletionMode, DeadLetter, DeleteTopic, GroupName, GroupRemaining, GroupStats,
    MaintenanceReport, Member, MemberName, MessageAccounting, MessageId, NewMessage, Result,
    StartPosition, Subscribe, Subscription, Topic, TopicConfig, TopicName, TopicUpdate, Watermark,
};

/// An engine: topics, subscriptions, publishing, and the way to consume.
///
/// Minimal, for implementors; conveniences are in [`BackendExt`](crate::BackendExt). Every method
/// may fail with [`Closed`](crate::ErrorKind::Closed), [`Unavailable`](crate::ErrorKind::Unavailable),
/// [`Unknown`](crate::ErrorKind::Unknown), [`SchemaMismatch`](crate::ErrorKind::SchemaMismatch) or
/// [`Database`](crate::ErrorKind::Database); further kinds are named per method.
///
/// # To ensure correctness
/// - A call that returns `Ok` is as durable as the engine is; one that returns an error other than
///   `Unknown` has changed nothing.
/// - Dropping a call's future at any point leaves the engine usable. What the call did by then may
///   stand or not.
/// - Time is the engine's, never the caller's.
#[async_trait]
pub trait Backend: Debug + Send + Sync + 'static {
    /// Creates a topic.
    ///
    /// Errors: [`TopicExists`](crate::ErrorKind::TopicExists);
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a bad configuration.
    ///
    /// # To ensure correctness
    /// - Once it returns, messages can be published at once; a queue has its subscription.
    /// - Of two concurrent calls for one name exactly one succeeds.
    async fn create_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<Topic>;

    /// Changes what may change of a topic's configuration.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound),
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput).
    async fn update_topic(&self, topic: &TopicName, update: TopicUpdate) -> Result<Topic>;

    /// Changes how a topic accounts for the messages that are published from now on; nothing else
    /// changes. In the topic's present mode it changes nothing.
    ///
    /// A message keeps the accounting that it was published under: its deliveries, receipts and what
    /// groups owe of it are as before. A publisher that read the mode before the change publishes
    /// under the former one.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound).
    ///
    /// # To ensure correctness
    /// - Nobody waits for it, it waits for no publisher and no consumer, and nothing is delivered or
    ///   settled twice because of it.
    /// - The order of a key is kept across it.
    async fn migrate_topic(&self, topic: &TopicName, mode: CompletionMode) -> Result<Topic>;

    /// What every live group still owes of the messages that were published under a mode, by name: how
    /// far the topic has moved away from it.
    ///
    /// Groups that want order read messages of either mode alike, so for them nothing remains. Nor
    /// does a message that failed and was parked, whose retries are its own.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound).
    ///
    /// # To ensure correctness
    /// - 0 only when the group owes none of them, those in hand included. While a subscription is
    ///   being given what it missed, its figure may be lower than what it will owe, but not 0.
    async fn remaining(
        &self,
        topic: &TopicName,
        mode: CompletionMode,
    ) -> Result<Vec<GroupRemaining>>;

    /// Reads a topic.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound).
    async fn topic(&self, topic: &TopicName) -> Result<Topic>;

    /// Reads all topics, by name.
    async fn topics(&self) -> Result<Vec<Topic>>;

    /// Deletes a topic with its messages and subscriptions. Dead letters stay.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound);
    /// [`WouldLoseMessages`](crate::ErrorKind::WouldLoseMessages) when a group still owes
    /// settlements and the deletion is not forced.
    ///
    /// # To ensure correctness
    /// - Unforced, no message is lost that committed before the deletion and is owed by a group.
    /// - A receipt of the deleted topic is foreign to a topic that is created under its name.
    async fn delete_topic(&self, topic: &TopicName, mode: DeleteTopic) -> Result<()>;

    /// Subscribes a group, resumes it when it is paused, resurrects it when it is dead.
    ///
    /// On a live subscription it moves nothing and applies the options. After a cancellation it
    /// begins anew.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound);
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for bad options, another ordering than the
    /// live subscription has, or a queue topic;
    /// [`CapacityExceeded`](crate::ErrorKind::CapacityExceeded) when the topic has had
    /// [`MAX_GROUPS`](crate::MAX_GROUPS) groups.
    ///
    /// # To ensure correctness
    /// - From its return on, the group is owed every message that commits; one that committed
    ///   before the call is owed iff it is at or above the start. A message that commits during
    ///   the call is owed or not, but that is decided by one point in time for all.
    /// - Of concurrent calls for one group one makes the subscription; the others find it.
    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        subscribe: Subscribe,
    ) -> Result<Subscription>;

    /// Moves a group to another position, as an operator does to replay or to skip messages.
    ///
    /// It is as if the group began anew there, with its options and status as they are: owed is every
    /// message at or above the position, settled before or not, and every message that commits after
    /// the call; what lies below is skipped. What is in hand becomes stale, and attempts are counted
    /// from 1. The subscription takes another [`group_index`](Subscription::group_index). Dead letters
    /// stay. Every seek is kept in an audit trail.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound),
    /// [`SubscriptionNotFound`](crate::ErrorKind::SubscriptionNotFound),
    /// [`InvalidTransition`](crate::ErrorKind::InvalidTransition) when dead or cancelled,
    /// [`CapacityExceeded`](crate::ErrorKind::CapacityExceeded) as in [`subscribe`](Self::subscribe).
    ///
    /// # To ensure correctness
    /// - A message that commits during the call is owed or not, but that is decided by one point in
    ///   time for all.
    /// - Receipts of before change nothing afterwards.
    async fn seek(
        &self,
        topic: &TopicName,
        group: &GroupName,
        to: StartPosition,
    ) -> Result<Subscription>;

    /// Stops delivery; messages go on accumulating, and the group counts.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound),
    /// [`SubscriptionNotFound`](crate::ErrorKind::SubscriptionNotFound),
    /// [`InvalidTransition`](crate::ErrorKind::InvalidTransition) when dead or cancelled.
    ///
    /// # To ensure correctness
    /// - Fetches that begin after it returned deliver nothing; what is in hand can be settled.
    async fn pause(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription>;

    /// Continues delivery after a pause. Errors as [`pause`](Self::pause).
    async fn resume(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription>;

    /// Ends a subscription for good: the group owes nothing any more.
    ///
    /// Cancelling again changes nothing.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound),
    /// [`SubscriptionNotFound`](crate::ErrorKind::SubscriptionNotFound),
    /// [`InvalidTransition`](crate::ErrorKind::InvalidTransition) on a queue topic.
    ///
    /// # To ensure correctness
    /// - Its members get nothing more and its receipts are stale, also for a later subscription
    ///   of the same group.
    /// - It holds no message back, and no other group's accounting changes.
    async fn cancel(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription>;

    /// Gives a sign of life for a group.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound),
    /// [`SubscriptionNotFound`](crate::ErrorKind::SubscriptionNotFound),
    /// [`SubscriptionEnded`](crate::ErrorKind::SubscriptionEnded) when cancelled.
    async fn heartbeat(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription>;

    /// Reads a group's latest subscription, cancelled or not.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound),
    /// [`SubscriptionNotFound`](crate::ErrorKind::SubscriptionNotFound).
    async fn subscription(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription>;

    /// Reads all subscriptions of a topic, cancelled ones included, by group and age.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound).
    async fn subscriptions(&self, topic: &TopicName) -> Result<Vec<Subscription>>;

    /// Publishes a batch in a transaction of its own and returns the ids in the batch's order.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound);
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an empty batch;
    /// [`TooLarge`](crate::ErrorKind::TooLarge);
    /// [`NoSubscriptions`](crate::ErrorKind::NoSubscriptions) when the topic blocks writes;
    /// [`CapacityExceeded`](crate::ErrorKind::CapacityExceeded) in a bounded engine.
    ///
    /// # To ensure correctness
    /// - All of the batch is stored, or none of it.
    /// - Ids increase within the batch.
    async fn publish(&self, topic: &TopicName, messages: Vec<NewMessage>)
    -> Result<Vec<MessageId>>;

    /// Joins a group as one more member; `None` is a queue topic's built-in group.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound),
    /// [`SubscriptionNotFound`](crate::ErrorKind::SubscriptionNotFound),
    /// [`SubscriptionEnded`](crate::ErrorKind::SubscriptionEnded),
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when a group is named for a queue, or none
    /// for a pub/sub topic.
    ///
    /// # To ensure correctness
    /// - Each call makes a member of its own, even when the options name it alike.
    async fn join(
        &self,
        topic: &TopicName,
        group: Option<&GroupName>,
        options: JoinOptions,
    ) -> Result<Arc<dyn Member>>;

    /// Does the upkeep that is due, once, for all topics. Any number of processes may call it.
    ///
    /// # To ensure correctness
    /// - It may be interrupted anywhere and repeated; it never loses a message that is owed.
    async fn maintain(&self) -> Result<MaintenanceReport>;

    /// Where every live group of a topic stands, by name.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound).
    async fn stats(&self, topic: &TopicName) -> Result<Vec<GroupStats>>;

    /// Up to where a topic is settled for every group that counts, as last recorded by
    /// [`maintain`](Self::maintain) or by a consumer.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound).
    ///
    /// # To ensure correctness
    /// - No message at or below the watermark is owed by a group that is active or paused, or may
    ///   still commit.
    /// - It falls only when a subscription, a seek or a backfill makes kept messages owed again.
    async fn watermark(&self, topic: &TopicName) -> Result<Watermark>;

    /// The messages above `after` that a group owes, ascending, at most `limit`.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound),
    /// [`SubscriptionNotFound`](crate::ErrorKind::SubscriptionNotFound).
    async fn pending(
        &self,
        topic: &TopicName,
        group: &GroupName,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageId>>;

    /// Who must settle the tracked messages above `after` and who has, ascending, at most `limit`.
    ///
    /// Errors: [`TopicNotFound`](crate::ErrorKind::TopicNotFound).
    async fn accounting(
        &self,
        topic: &TopicName,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageAccounting>>;

    /// The dead letters of a topic, those of deleted topics of the same name included, oldest
    /// first; of one group, or of all.
    async fn dead_letters(
        &self,
        topic: &TopicName,
        group: Option<&GroupName>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>>;
}

/// How to join a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinOptions {
    /// What the member is called in listings. Default: a name that the engine makes up.
    pub name: Option<MemberName>,
}

impl JoinOptions {
    /// Names the member.
    #[must_use]
    pub fn named(name: MemberName) -> Self {
        Self { name: Some(name) }
    }
}
