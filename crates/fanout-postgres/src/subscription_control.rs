//! Subscriptions' life cycle.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use fanout_core::{
    Error, ErrorKind, GroupName, Result, Scope, Semantics, StartPosition, Subscribe, Subscription,
    SubscriptionEvent, SubscriptionOptions, SubscriptionStatus, Topic, TopicId, TopicName,
    Transition,
};

use crate::PostgresBackend;
use crate::error::{subscription_ended, topic_not_found};
use crate::offset_watermark;
use crate::reference_counting::BATCH;
use crate::storage::beginnings::{self, Moment};
use crate::storage::{cursors, group_bits, subscriptions, ticks, topics, tracking, watermarks};

impl PostgresBackend {
    pub(crate) async fn make_subscription(
        &self,
        topic: &TopicName,
        group: &GroupName,
        subscribe: &Subscribe,
    ) -> Result<Subscription> {
        subscribe.options.check()?;
        loop {
            if self.is_subscribed(topic, group).await?
                && let Some(live) = self.renew(topic, group, &subscribe.options).await?
            {
                return Ok(live);
            }
            let moment = self.moment(topic, subscribe.start).await?;
            if let Some(made) = self.try_subscribe(topic, group, subscribe, moment).await? {
                return Ok(made);
            }
        }
    }

    /// Whether a group has a live subscription to a topic that takes some.
    async fn is_subscribed(&self, topic: &TopicName, group: &GroupName) -> Result<bool> {
        let mut connection = self.connection().await?;
        let topic = topics::get(&mut connection, topic).await?;
        if topic.config.semantics == Semantics::Queue {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "a queue has its one subscription built in topic=`{}`",
                    topic.name
                ),
            ));
        }
        Ok(live(&mut connection, &topic, group).await?.is_some())
    }

    /// Where a position lies now. What tells it is taken before the transaction of a subscription: a tick
    /// could not be taken in it, and to read the log would keep the topic locked for long. The tick may be
    /// merged into a later one until the subscription stands at it.
    async fn moment(&self, topic: &TopicName, start: StartPosition) -> Result<Moment> {
        let mut connection = self.connection().await?;
        let found = topics::get(&mut connection, topic).await?;
        // The more is decided, the less is to be looked at later.
        watermarks::decide(&mut connection, found.id).await?;
        let ticked = ticks::tick(&mut connection, found.id, true, Duration::ZERO).await?;
        let tick = ticked.newest.ok_or_else(|| topic_not_found(topic))?.number;
        Ok(Moment {
            tick,
            decided: ticked.decided,
            owed_from: beginnings::start_id(&mut connection, found.id, tick, start).await?,
        })
    }

    /// Resumes a live subscription, with these options; none when the group has none.
    async fn renew(
        &self,
        topic: &TopicName,
        group: &GroupName,
        options: &SubscriptionOptions,
    ) -> Result<Option<Subscription>> {
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let topic = topics::get_for_share(connection, topic).await?;
        subscriptions::lock_membership(connection, topic.id).await?;
        let Some(live) = live(connection, &topic, group).await? else {
            transaction.rollback().await?;
            return Ok(None);
        };
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
        Ok(Some(subscription))
    }

    /// Subscribes a group anew; none when it has a live subscription meanwhile, or the tick is gone.
    async fn try_subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        subscribe: &Subscribe,
        moment: Moment,
    ) -> Result<Option<Subscription>> {
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let topic = topics::get_for_share(connection, topic).await?;
        subscriptions::lock_membership(connection, topic.id).await?;
        if live(connection, &topic, group).await?.is_some() {
            transaction.rollback().await?;
            return Ok(None);
        }
        let index = group_bits::allocate(connection, &topic, group, None).await?;
        let subscription =
            subscriptions::insert(connection, &topic, group, index, subscribe, self.now()).await?;
        if !beginnings::begin_at(connection, subscription.id, moment).await? {
            transaction.rollback().await?;
            return Ok(None);
        }
        offset_watermark::open(transaction.checkout(), &scope(&topic, &subscription)).await?;
        transaction.commit().await?;
        self.catch_up(&subscription).await;
        Ok(Some(subscription))
    }

    /// Gives a subscription that has begun what it is owed. It stands already: if this fails, members and
    /// maintenance repeat it.
    async fn catch_up(&self, subscription: &Subscription) {
        let caught_up = async {
            beginnings::catch_up_now(&mut *self.connection().await?, subscription.id, BATCH).await
        };
        if let Err(error) = caught_up.await {
            let (topic, group) = (&subscription.topic, &subscription.group);
            tracing::warn!(%topic, %group, %error, "a subscription has not caught up yet");
        }
    }

    /// Lets a group begin anew at a position.
    pub(crate) async fn move_subscription(
        &self,
        topic: &TopicName,
        group: &GroupName,
        to: StartPosition,
    ) -> Result<Subscription> {
        self.fold_committed(topic).await?;
        loop {
            let moment = self.moment(topic, to).await?;
            if let Some(subscription) = self.try_move(topic, group, to, moment).await? {
                return Ok(subscription);
            }
        }
    }

    /// Moves a group to a position as of a tick; none when the tick is gone.
    ///
    /// It takes another bit: with the old one go its rows, its cursors, its receipts and what callers'
    /// transactions have yet to commit for it, as when it is cancelled.
    async fn try_move(
        &self,
        topic: &TopicName,
        group: &GroupName,
        to: StartPosition,
        moment: Moment,
    ) -> Result<Option<Subscription>> {
        let mut transaction = self.transaction().await?;
        let connection = transaction.connection();
        let topic = topics::get_for_share(connection, topic).await?;
        subscriptions::lock_membership(connection, topic.id).await?;
        let before = require(connection, &topic, group).await?;
        if !matches!(
            before.status,
            SubscriptionStatus::Active | SubscriptionStatus::Paused
        ) {
            return Err(Error::new(
                ErrorKind::InvalidTransition,
                format!(
                    "only an active or paused subscription can be moved topic=`{}` group=`{group}` status=`{}`",
                    topic.name, before.status
                ),
            ));
        }
        group_bits::release(connection, topic.id, before.group_index).await?;
        let bit = group_bits::allocate(connection, &topic, group, Some(before.id)).await?;
        subscriptions::change_bit(connection, before.id, bit).await?;
        if !beginnings::begin_at(connection, before.id, moment).await? {
            transaction.rollback().await?;
            return Ok(None);
        }
        cursors::remove(connection, topic.id, before.group_index).await?;
        subscriptions::record_seek(connection, topic.id, &before, bit, to, self.now()).await?;
        let after = require(connection, &topic, group).await?;
        offset_watermark::open(transaction.checkout(), &scope(&topic, &after)).await?;
        transaction.commit().await?;
        self.catch_up(&after).await;
        if let Err(error) = self.reap(topic.id, &before).await {
            tracing::warn!(topic = %topic.name, %group, %error, "rows of before a seek are left to maintenance");
        }
        Ok(Some(after))
    }

    /// Lets a group's subscription take an event; returns it before and after.
    pub(crate) async fn on_event(
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
                group_bits::release(connection, topic.id, before.group_index).await?;
                cursors::remove(connection, topic.id, before.group_index).await?;
            }
        }
        if event == SubscriptionEvent::Heartbeat {
            subscriptions::beat(connection, before.id, self.now()).await?;
        }
        let after = require(connection, &topic, group).await?;
        transaction.commit().await?;
        Ok(after)
    }

    pub(crate) async fn end_subscription(
        &self,
        topic: &TopicName,
        group: &GroupName,
    ) -> Result<Subscription> {
        let found = self.fold_committed(topic).await?;
        let cancelled = self
            .on_event(topic, group, SubscriptionEvent::Cancel)
            .await?;
        if let Err(error) = self.reap(found, &cancelled).await {
            tracing::warn!(%topic, %group, %error, "rows of a cancelled subscription are left to maintenance");
        }
        Ok(cancelled)
    }

    /// Before a group leaves its bit: what callers' transactions have settled by now counts as settled.
    async fn fold_committed(&self, topic: &TopicName) -> Result<TopicId> {
        let mut connection = self.connection().await?;
        let found = topics::get(&mut connection, topic).await?;
        self.fold_topic(&mut connection, found.id).await?;
        Ok(found.id)
    }

    /// Removes the rows of a cancelled subscription. What it leaves, maintenance finds.
    async fn reap(&self, topic: TopicId, subscription: &Subscription) -> Result<()> {
        let mut connection = self.connection().await?;
        group_bits::free(&mut connection, topic).await?;
        let group = subscription.group_index;
        while tracking::reap(&mut connection, topic, group, BATCH, self.now()).await? > 0 {}
        Ok(())
    }
}

/// What a strategy needs to know of a subscription.
pub(crate) fn scope(topic: &Topic, subscription: &Subscription) -> Scope {
    Scope {
        topic: topic.id,
        topic_name: topic.name.clone(),
        subscription: subscription.id,
        group: subscription.group_index,
        options: subscription.options.clone(),
    }
}

/// A group's live subscription.
async fn live(
    connection: &mut AsyncPgConnection,
    topic: &Topic,
    group: &GroupName,
) -> Result<Option<Subscription>> {
    let latest = subscriptions::latest(connection, topic, group).await?;
    Ok(latest.filter(|latest| latest.status.is_live()))
}

/// A group's latest subscription, or the error that there is none.
pub(crate) async fn require(
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
