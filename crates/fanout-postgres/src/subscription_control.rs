//! Subscriptions' life cycle.

use diesel_async::AsyncPgConnection;
use fanout_core::{
    Backend, Error, ErrorKind, GroupName, Ordering, Result, Semantics, StartPosition, Subscribe,
    Subscription, SubscriptionEvent, SubscriptionStatus, Topic, TopicId, TopicName, Transition,
};

use crate::PostgresBackend;
use crate::error::{subscription_ended, unsupported};
use crate::reference_counting::BATCH;
use crate::storage::{subscriptions, topics, tracking};

impl PostgresBackend {
    pub(crate) async fn make_subscription(
        &self,
        topic: &TopicName,
        group: &GroupName,
        subscribe: &Subscribe,
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
            subscriptions::catch_up_now(&mut *self.connection().await?, subscription.id, BATCH)
                .await
        };
        if let Err(error) = caught_up.await {
            tracing::warn!(topic = %topic.name, %group, %error, "a subscription has not caught up yet");
        }
        Ok(subscription)
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

    pub(crate) async fn end_subscription(
        &self,
        topic: &TopicName,
        group: &GroupName,
    ) -> Result<Subscription> {
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
