//! One way of accounting for completion.

use std::time::Duration;

use async_trait::async_trait;

use crate::{
    CompletionMode, Extension, Fetched, GroupIndex, MessageId, Outcome, Receipt, Result,
    Settlement, SubscriptionId, SubscriptionOptions, SubscriptionStatus, TopicId, TopicName,
};

/// The subscription that a strategy works for.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// The topic.
    pub topic: TopicId,
    /// The topic's name, for messages and errors.
    pub topic_name: TopicName,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The group's bit.
    pub group: GroupIndex,
    /// How it delivers.
    pub options: SubscriptionOptions,
}

/// What a claim found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The status of the subscription at the moment of the claim; nothing is delivered unless it
    /// is active.
    pub status: SubscriptionStatus,
    /// Deliveries and gaps.
    pub fetched: Fetched,
}

/// One way of accounting for completion, over a connection type of the engine.
///
/// A value of it belongs to one member session: it may keep what the session has in hand. `open`,
/// `close`, `lowest_unsettled` and `remaining` depend on no session; any value serves.
///
/// A member reads through every strategy, whatever the mode of the topic, and settles through the
/// one that made the receipt: so the mode can change at any moment.
#[async_trait]
pub trait CompletionStrategy: Send + Sync {
    /// The engine's connection.
    type Connection: Send;

    /// The mode that this strategy implements.
    fn mode(&self) -> CompletionMode;

    /// Begins to account for a new subscription. Called whatever the mode of the topic.
    ///
    /// # To ensure correctness
    /// - Runs inside the transaction that makes the subscription; its effect is decided by that
    ///   transaction's commit.
    async fn open(&self, connection: &mut Self::Connection, scope: &Scope) -> Result<()>;

    /// Ends accounting for a subscription that died or was cancelled; returns how many rows of it
    /// went, 0 when none is left.
    ///
    /// # To ensure correctness
    /// - Idempotent, bounded, and repeated until it returns 0, also after a crash in the middle.
    /// - The group holds nothing back afterwards; no other group's accounting changes.
    async fn close(&self, connection: &mut Self::Connection, scope: &Scope) -> Result<u64>;

    /// Leases up to `limit` messages to this session.
    ///
    /// # To ensure correctness
    /// As [`Member::fetch`](crate::Member::fetch), for the messages that this strategy owns.
    async fn claim(
        &self,
        connection: &mut Self::Connection,
        scope: &Scope,
        limit: usize,
    ) -> Result<Claimed>;

    /// Settles deliveries that this strategy made; one outcome for each, in order.
    ///
    /// # To ensure correctness
    /// As [`Member::settle`](crate::Member::settle). Locks are taken in one order by all callers.
    async fn settle(
        &self,
        connection: &mut Self::Connection,
        scope: &Scope,
        settlements: &[Settlement],
    ) -> Result<Vec<Outcome>>;

    /// Moves the end of leases; one result for each, in order.
    ///
    /// # To ensure correctness
    /// As [`Member::extend`](crate::Member::extend).
    async fn extend(
        &self,
        connection: &mut Self::Connection,
        scope: &Scope,
        receipts: &[Receipt],
        by: Duration,
    ) -> Result<Vec<Extension>>;

    /// The lowest message of a topic that any group which counts still owes, by this accounting.
    ///
    /// # To ensure correctness
    /// - May be lower than the truth, never higher.
    async fn lowest_unsettled(
        &self,
        connection: &mut Self::Connection,
        topic: TopicId,
    ) -> Result<Option<MessageId>>;

    /// How many messages the subscription still owes, by this accounting.
    ///
    /// # To ensure correctness
    /// - 0 only when nothing is owed; messages in hand are owed.
    async fn remaining(&self, connection: &mut Self::Connection, scope: &Scope) -> Result<u64>;
}
