//! The engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use diesel_async::AsyncPgConnection;
use fanout_core::{
    Backend, Clock, CompletionMode, DeadLetter, DeleteTopic, Error, ErrorKind, GroupName,
    GroupStats, JoinOptions, MaintenanceReport, Member, MemberName, MessageAccounting, MessageId,
    NewMessage, Ordering, Result, Semantics, StartPosition, Subscribe, Subscription,
    SubscriptionEvent, SubscriptionStatus, Timestamp, Topic, TopicConfig, TopicId, TopicName,
    TopicUpdate, Transition,
};

use crate::PostgresBuilder;
use crate::error::ResultExt;
use crate::maintenance::maintain;
use crate::member::{PostgresMember, subscription_ended};
use crate::pool::{Connection, Pool};
use crate::reference_counting::BATCH;
use crate::storage::{
    dead_letters, log, observation, settlements, subscriptions, topics, tracking,
};
use crate::transaction::Transaction;

/// How often a publish that finds no leaf makes some and tries again. A batch may be larger than
/// the smallest leaves.
const LEAF_ATTEMPTS: u32 = 8;

/// The Postgres engine. Cheap to clone: clones share the pool.
#[derive(Clone, Debug)]
pub struct PostgresBackend(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: Pool,
    clock: Option<Arc<dyn Clock>>,
    closed: AtomicBool,
    members: AtomicU64,
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

    pub(crate) fn open(pool: Pool, clock: Option<Arc<dyn Clock>>) -> Self {
        let (closed, members) = (AtomicBool::new(false), AtomicU64::new(0));
        Self(Arc::new(Shared {
            pool,
            clock,
            closed,
            members,
        }))
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

    pub(crate) fn clock(&self) -> Option<Arc<dyn Clock>> {
        self.0.clock.clone()
    }

    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.0.clock.as_ref().map(|clock| clock.now())
    }

    /// A connection for statements that commit by themselves.
    pub(crate) async fn connection(&self) -> Result<Connection> {
        self.check_open()?;
        self.0.pool.get().await
    }

    async fn transaction(&self) -> Result<Transaction> {
        self.check_open()?;
        Transaction::begin(&self.0.pool).await
    }

    /// Lets a group's subscription take an event; returns it before and after.
    async fn on_event(
        &self,
        topic: &TopicName,
        group: &GroupName,
        event: SubscriptionEvent,
    ) -> Result<Subscription> {
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let topic = topics::get_for_share(connection, topic).await?;
        subscriptions::lock_membership(connection, topic.id).await?;
        let before = require(connection, &topic, group).await?;
        if event == SubscriptionEvent::Cancel && topic.config.semantics == Semantics::Queue {
            return Err(Error::new(
                ErrorKind::InvalidTransition,
                format!(
                    "a queue's built-in subscription cannot be cancelled topic=`{}`",
                    topic.name
                ),
            ));
        }
        let transition = before.status.on(event).map_err(|error| {
            if event == SubscriptionEvent::Heartbeat {
                subscription_ended(&before)
            } else {
                let message = format!("{error} topic=`{}` group=`{group}`", topic.name);
                Error::new(ErrorKind::InvalidTransition, message).with_source(error)
            }
        })?;
        if let Transition::To(status) = transition {
            subscriptions::set_status(connection, before.id, status, self.now()).await?;
            if status == SubscriptionStatus::Cancelled {
                subscriptions::release_bit(connection, topic.id, before.group_index).await?;
            }
        }
        if event == SubscriptionEvent::Heartbeat {
            subscriptions::beat(connection, before.id, self.now()).await?;
        }
        let after = require(connection, &topic, group).await?;
        transaction.commit().await?;
        Ok(after)
    }

    /// Folds all settlements of a topic that callers' transactions have committed.
    async fn fold_topic(&self, connection: &mut AsyncPgConnection, topic: TopicId) -> Result<()> {
        for subscription in settlements::unfolded(connection, topic).await? {
            while settlements::fold(connection, subscription, BATCH, self.now()).await? > 0 {}
        }
        Ok(())
    }

    /// Removes the rows of a cancelled subscription. What it leaves, maintenance finds.
    async fn reap(&self, topic: TopicId, subscription: &Subscription) -> Result<()> {
        let mut connection = self.connection().await?;
        subscriptions::free_bits(&mut connection, topic).await?;
        let group = subscription.group_index;
        while tracking::reap(&mut connection, topic, group, BATCH, self.now()).await? > 0 {}
        Ok(())
    }
}

/// A group's latest subscription, or the error that there is none.
async fn require(
    connection: &mut AsyncPgConnection,
    topic: &Topic,
    group: &GroupName,
) -> Result<Subscription> {
    subscriptions::latest(connection, topic, group)
        .await?
        .ok_or_else(|| {
            Error::new(
                ErrorKind::SubscriptionNotFound,
                format!(
                    "subscription not found topic=`{}` group=`{group}`",
                    topic.name
                ),
            )
        })
}

fn unsupported(what: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("{what} needs cursors, which this version does not have yet"),
    )
}

#[async_trait]
impl Backend for PostgresBackend {
    async fn create_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<Topic> {
        config.check()?;
        if config.completion_mode == CompletionMode::OffsetWatermark {
            return Err(unsupported("completion mode `offset-watermark`"));
        }
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let created = match topics::insert(connection, topic, &config, self.now()).await {
            Err(error) if error.kind() == ErrorKind::TopicExists => {
                return Err(Error::new(
                    ErrorKind::TopicExists,
                    format!("topic exists already topic=`{topic}`"),
                )
                .with_source(error));
            }
            created => created?,
        };
        topics::create_storage(connection, created.id).await?;
        if config.semantics == Semantics::Queue {
            topics::create_queue_subscription(connection, created.id, self.now()).await?;
        }
        transaction.commit().await?;
        Ok(created)
    }

    async fn update_topic(&self, topic: &TopicName, update: TopicUpdate) -> Result<Topic> {
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let mut updated = topics::get_for_update(connection, topic).await?;
        updated.config = update.apply(&updated.config)?;
        topics::update(connection, updated.id, &updated.config).await?;
        transaction.commit().await?;
        Ok(updated)
    }

    async fn topic(&self, topic: &TopicName) -> Result<Topic> {
        topics::get(&mut *self.connection().await?, topic).await
    }

    async fn topics(&self) -> Result<Vec<Topic>> {
        topics::list(&mut *self.connection().await?).await
    }

    async fn delete_topic(&self, topic: &TopicName, mode: DeleteTopic) -> Result<()> {
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let topic = topics::get_for_update(connection, topic).await?;
        // Against publishers first: what they have committed by then is counted.
        topics::lock_storage(connection, topic.id).await?;
        let owed = tracking::count_owed_by_any(connection, topic.id).await?;
        if owed > 0 && mode == DeleteTopic::IfSettled {
            return Err(Error::new(
                ErrorKind::WouldLoseMessages,
                format!(
                    "groups still owe settlements topic=`{}` unsettled=`{owed}`",
                    topic.name
                ),
            ));
        }
        topics::delete(connection, topic.id).await?;
        transaction.commit().await?;
        // Left to maintenance when somebody would have to wait, or when this fails.
        if let Err(error) = topics::drop_storage(&mut *self.connection().await?, topic.id).await {
            tracing::warn!(topic = %topic.name, %error, "tables of a deleted topic were not dropped yet");
        }
        Ok(())
    }

    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        subscribe: Subscribe,
    ) -> Result<Subscription> {
        let options = &subscribe.options;
        options.check()?;
        if subscribe.start != StartPosition::FromNow {
            return Err(unsupported("a start other than from now"));
        }
        if options.ordering == Ordering::PerKey {
            return Err(unsupported("ordering `per-key`"));
        }
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let topic = topics::get_for_share(connection, topic).await?;
        if topic.config.semantics == Semantics::Queue {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "a queue has its one subscription built in topic=`{}`",
                    topic.name
                ),
            ));
        }
        subscriptions::lock_membership(connection, topic.id).await?;
        let latest = subscriptions::latest(connection, &topic, group).await?;
        let live = latest.filter(|latest| latest.status.is_live());
        if let Some(live) = live {
            if live.options.ordering != options.ordering {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "ordering of a live subscription is fixed topic=`{}` group=`{group}` ordering=`{}`",
                        topic.name, live.options.ordering
                    ),
                ));
            }
            subscriptions::set_options(connection, live.id, options).await?;
            if live.status != SubscriptionStatus::Active {
                let active = SubscriptionStatus::Active;
                subscriptions::set_status(connection, live.id, active, self.now()).await?;
            }
            subscriptions::beat(connection, live.id, self.now()).await?;
            let subscription = require(connection, &topic, group).await?;
            transaction.commit().await?;
            return Ok(subscription);
        }
        let index = subscriptions::allocate_bit(connection, &topic, group).await?;
        let subscription =
            subscriptions::insert(connection, &topic, group, index, options, self.now()).await?;
        transaction.commit().await?;
        // The subscription stands; if this fails, members and maintenance repeat it.
        let caught_up = async {
            subscriptions::catch_up(&mut *self.connection().await?, subscription.id).await
        };
        if let Err(error) = caught_up.await {
            tracing::warn!(topic = %topic.name, %group, %error, "a subscription has not caught up yet");
        }
        Ok(subscription)
    }

    async fn pause(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.on_event(topic, group, SubscriptionEvent::Pause).await
    }

    async fn resume(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.on_event(topic, group, SubscriptionEvent::Resume).await
    }

    async fn cancel(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        let found = self.topic(topic).await?;
        // What callers' transactions have settled by now counts as settled.
        self.fold_topic(&mut *self.connection().await?, found.id)
            .await?;
        let cancelled = self
            .on_event(topic, group, SubscriptionEvent::Cancel)
            .await?;
        if let Err(error) = self.reap(found.id, &cancelled).await {
            tracing::warn!(%topic, %group, %error, "rows of a cancelled subscription are left to maintenance");
        }
        Ok(cancelled)
    }

    async fn heartbeat(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
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
        observation::group_stats(&mut connection, topic.id, self.now()).await
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
        let names = subscriptions::names(&mut connection, topic.id).await?;
        observation::accounting(&mut connection, topic.id, after, limit, &names).await
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
