//! The engine.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use diesel_async::AsyncPgConnection;
use fanout_core::{
    Backend, Clock, CompletionMode, DeadLetter, DeleteTopic, Error, ErrorKind, GroupName,
    GroupRemaining, GroupStats, JoinOptions, MaintenanceReport, Member, MemberName,
    MessageAccounting, MessageId, NewMessage, Result, Semantics, StartPosition, Subscribe,
    Subscription, SubscriptionEvent, SubscriptionStatus, Timestamp, Topic, TopicConfig, TopicId,
    TopicName, TopicUpdate, Watermark,
};
use parking_lot::Mutex;

use crate::PostgresBuilder;
use crate::checkout::Checkout;
use crate::cursor::{Hub, SpanCacheStats};
use crate::error::ResultExt;
use crate::error::subscription_ended;
use crate::maintenance::maintain;
use crate::member::PostgresMember;
use crate::paths::Rest;
use crate::pool::{Connection, Pool};
use crate::reference_counting::BATCH;
use crate::storage::{
    database, dead_letters, log, observation, settlements, subscriptions, topics, watermarks,
};
use crate::subscription_control::require;
use crate::transaction::{Room, Transaction};

/// How often a publish that finds no leaf makes some and tries again. A batch may be larger than
/// the smallest leaves.
const LEAF_ATTEMPTS: u32 = 8;

/// The Postgres engine. Cheap to clone: clones share the pool.
#[derive(Clone, Debug)]
pub struct PostgresBackend(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    room: Room,
    pool: Pool,
    clock: Option<Arc<dyn Clock>>,
    closed: AtomicBool,
    members: AtomicU64,
    span_cache_bytes: usize,
    rest: Rest,
    /// Of the topics that are consumed through this handle.
    hubs: Mutex<HashMap<TopicId, Weak<Hub>>>,
}

/// Members hold the handle, so there are none any more. Sessions of members that were dropped are kept by
/// their hubs, and keep these and the pool.
impl Drop for Shared {
    fn drop(&mut self) {
        for hub in self.hubs.get_mut().values().filter_map(Weak::upgrade) {
            hub.forget_all();
        }
    }
}

impl PostgresBackend {
    /// Opens the engine on a pool of its own, with the defaults of [`PostgresBuilder`].
    ///
    /// # Errors
    /// As [`PostgresBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Self::builder(url).connect().await
    }

    /// How to open the engine otherwise.
    pub fn builder(url: impl Into<String>) -> PostgresBuilder {
        PostgresBuilder::new(url.into())
    }

    pub(crate) fn open(
        pool: Pool,
        clock: Option<Arc<dyn Clock>>,
        span_cache_bytes: usize,
        rest: Rest,
    ) -> Self {
        let (closed, members) = (AtomicBool::new(false), AtomicU64::new(0));
        Self(Arc::new(Shared {
            room: Room::of(&pool),
            pool,
            clock,
            closed,
            members,
            span_cache_bytes,
            rest,
            hubs: Mutex::default(),
        }))
    }

    /// How the groups of a topic that are consumed through this handle share their reads of the log;
    /// all zero while none are.
    pub fn span_cache(&self, topic: TopicId) -> SpanCacheStats {
        self.known_hub(topic)
            .map_or_else(SpanCacheStats::default, |hub| hub.cache_stats())
    }

    /// What the members of a topic do together.
    pub(crate) fn hub(&self, topic: TopicId) -> Arc<Hub> {
        let mut hubs = self.0.hubs.lock();
        if let Some(hub) = hubs.get(&topic).and_then(Weak::upgrade) {
            return hub;
        }
        hubs.retain(|_, hub| hub.strong_count() > 0);
        let (pool, clock) = (self.0.pool.clone(), self.clock());
        let hub = Arc::new(Hub::new(topic, pool, clock, self.0.span_cache_bytes));
        hubs.insert(topic, Arc::downgrade(&hub));
        hub
    }

    /// The same, if there are members.
    pub(crate) fn known_hub(&self, topic: TopicId) -> Option<Arc<Hub>> {
        self.0.hubs.lock().get(&topic).and_then(Weak::upgrade)
    }

    /// Refuses all further calls and closes the pool.
    pub fn close(&self) {
        self.0.closed.store(true, Relaxed);
        self.0.pool.close();
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        if self.0.closed.load(Relaxed) {
            return Err(Error::new(ErrorKind::Closed, "engine is closed"));
        }
        Ok(())
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    pub(crate) fn room(&self) -> &Room {
        &self.0.room
    }

    pub(crate) fn rest(&self) -> Rest {
        self.0.rest
    }

    pub(crate) fn clock(&self) -> Option<Arc<dyn Clock>> {
        self.0.clock.clone()
    }

    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.0.clock.as_ref().map(|clock| clock.now())
    }

    /// A connection that is taken when it is needed.
    pub(crate) fn checkout(&self) -> Result<Checkout> {
        self.check_open()?;
        Ok(Checkout::new(self.0.pool.clone()))
    }

    /// A connection for statements that commit by themselves.
    pub(crate) async fn connection(&self) -> Result<Connection> {
        self.check_open()?;
        self.0.pool.get().await
    }

    pub(crate) async fn transaction(&self) -> Result<Transaction> {
        self.check_open()?;
        let mut transaction = Transaction::begin(&self.0.pool).await?;
        database::bound_waits(transaction.connection()).await?;
        Ok(transaction)
    }

    /// Folds all settlements of a topic that callers' transactions have committed.
    pub(crate) async fn fold_topic(
        &self,
        connection: &mut AsyncPgConnection,
        topic: TopicId,
    ) -> Result<()> {
        for group in settlements::unfolded(connection, topic).await? {
            while settlements::fold(connection, topic, group, BATCH, self.now()).await? > 0 {}
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for PostgresBackend {
    async fn create_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<Topic> {
        self.make_topic(topic, config).await
    }

    async fn update_topic(&self, topic: &TopicName, update: TopicUpdate) -> Result<Topic> {
        self.change_topic(topic, &update).await
    }

    async fn migrate_topic(&self, topic: &TopicName, mode: CompletionMode) -> Result<Topic> {
        self.change_mode(topic, mode).await
    }

    async fn remaining(
        &self,
        topic: &TopicName,
        mode: CompletionMode,
    ) -> Result<Vec<GroupRemaining>> {
        let mut connection = self.connection().await?;
        let topic = topics::get(&mut connection, topic).await?;
        observation::remaining(&mut connection, topic.id, mode).await
    }

    async fn topic(&self, topic: &TopicName) -> Result<Topic> {
        topics::get(&mut *self.connection().await?, topic).await
    }

    async fn topics(&self) -> Result<Vec<Topic>> {
        topics::list(&mut *self.connection().await?).await
    }

    async fn delete_topic(&self, topic: &TopicName, mode: DeleteTopic) -> Result<()> {
        self.remove_topic(topic, mode).await
    }

    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        subscribe: Subscribe,
    ) -> Result<Subscription> {
        self.make_subscription(topic, group, &subscribe).await
    }

    async fn seek(
        &self,
        topic: &TopicName,
        group: &GroupName,
        to: StartPosition,
    ) -> Result<Subscription> {
        self.move_subscription(topic, group, to).await
    }

    async fn watermark(&self, topic: &TopicName) -> Result<Watermark> {
        let mut connection = self.connection().await?;
        let topic = topics::get(&mut connection, topic).await?;
        watermarks::get(&mut connection, topic.id).await
    }

    async fn pause(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.on_event(topic, group, SubscriptionEvent::Pause).await
    }

    async fn resume(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.on_event(topic, group, SubscriptionEvent::Resume).await
    }

    async fn cancel(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.end_subscription(topic, group).await
    }

    async fn heartbeat(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        let alive = self.subscription(topic, group).await?;
        let mut connection = self.connection().await?;
        let beaten =
            subscriptions::beat_alive(&mut connection, topic, alive.id, self.now()).await?;
        if let Some(beaten) = beaten {
            return Ok(beaten);
        }
        drop(connection);
        self.on_event(topic, group, SubscriptionEvent::Heartbeat)
            .await
    }

    async fn subscription(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        let mut connection = self.connection().await?;
        let topic = topics::get(&mut connection, topic).await?;
        require(&mut connection, &topic, group).await
    }

    async fn subscriptions(&self, topic: &TopicName) -> Result<Vec<Subscription>> {
        let mut connection = self.connection().await?;
        let topic = topics::get(&mut connection, topic).await?;
        subscriptions::list(&mut connection, &topic).await
    }

    async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<MessageId>> {
        NewMessage::check_batch(&messages)?;
        let mut connection = self.connection().await?;
        for _ in 1..LEAF_ATTEMPTS {
            match log::publish(&mut connection, topic, &messages, self.now())
                .await
                .committing()
            {
                Err(error) if error.kind() == ErrorKind::LeafMissing => {
                    let found = topics::get(&mut connection, topic).await?;
                    log::ensure_leaves(&mut connection, found.id)
                        .await
                        .committing()?;
                }
                published => return published,
            }
        }
        log::publish(&mut connection, topic, &messages, self.now())
            .await
            .committing()
    }

    async fn join(
        &self,
        topic: &TopicName,
        group: Option<&GroupName>,
        options: JoinOptions,
    ) -> Result<Arc<dyn Member>> {
        let mut connection = self.connection().await?;
        let topic = topics::get(&mut connection, topic).await?;
        let built_in = GroupName::queue();
        let group = match (topic.config.semantics, group) {
            (Semantics::PubSub, Some(group)) => group,
            (Semantics::Queue, None) => &built_in,
            (Semantics::PubSub, None) => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "consumers of a pub/sub topic name their group topic=`{}`",
                        topic.name
                    ),
                ));
            }
            (Semantics::Queue, Some(group)) => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "consumers of a queue name no group topic=`{}` group=`{group}`",
                        topic.name
                    ),
                ));
            }
        };
        let subscription = require(&mut connection, &topic, group).await?;
        if matches!(
            subscription.status,
            SubscriptionStatus::Cancelled | SubscriptionStatus::Dead
        ) {
            return Err(subscription_ended(&subscription));
        }
        let name = match options.name {
            Some(name) => name,
            None => {
                let number = self.0.members.fetch_add(1, Relaxed) + 1;
                MemberName::new(format!("{}-{number}", std::process::id()))?
            }
        };
        Ok(Arc::new(PostgresMember::new(
            self.clone(),
            topic.id,
            name,
            subscription,
        )))
    }

    async fn maintain(&self) -> Result<MaintenanceReport> {
        maintain(&mut *self.connection().await?, self.now()).await
    }

    async fn stats(&self, topic: &TopicName) -> Result<Vec<GroupStats>> {
        let mut connection = self.connection().await?;
        let topic = topics::get(&mut connection, topic).await?;
        let mut stats = observation::group_stats(&mut connection, topic.id, self.now()).await?;
        if let Some(hub) = self.known_hub(topic.id) {
            let bits = subscriptions::live_bits(&mut connection, topic.id).await?;
            drop(connection);
            for group in &mut stats {
                if let Some(bit) = bits.get(&group.group) {
                    group.in_flight += hub.in_hand(*bit, group.read_at).await? as u64;
                }
            }
        }
        Ok(stats)
    }

    async fn pending(
        &self,
        topic: &TopicName,
        group: &GroupName,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageId>> {
        let mut connection = self.connection().await?;
        let topic = topics::get(&mut connection, topic).await?;
        let subscription = require(&mut connection, &topic, group).await?;
        if !subscription.status.is_live() {
            return Ok(Vec::new());
        }
        observation::pending(
            &mut connection,
            topic.id,
            subscription.group_index,
            after,
            limit,
        )
        .await
    }

    async fn accounting(
        &self,
        topic: &TopicName,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageAccounting>> {
        let mut connection = self.connection().await?;
        let topic = topics::get(&mut connection, topic).await?;
        self.fold_topic(&mut connection, topic.id).await?;
        observation::accounting(&mut connection, topic.id, after, limit).await
    }

    async fn dead_letters(
        &self,
        topic: &TopicName,
        group: Option<&GroupName>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        dead_letters::list(&mut *self.connection().await?, topic, group, limit).await
    }
}
