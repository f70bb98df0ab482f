//! Beginning, moving and ending subscriptions.

use fanout_core::{
    GroupIndex, GroupName, MessageId, Semantics, StartPosition, Subscribe, Subscription,
    SubscriptionEvent, SubscriptionId, SubscriptionOptions, SubscriptionStatus, Timestamp,
};

use crate::reading::Reading;
use crate::refusal::Refusal;
use crate::subscription_state::SubscriptionState;
use crate::topic_state::TopicState;

impl TopicState {
    /// Subscribes a group, which may be subscribed already.
    pub(crate) fn subscribe(
        &mut self,
        group: &GroupName,
        subscribe: Subscribe,
        next_subscription: &mut i64,
        now: Timestamp,
    ) -> Result<Subscription, Refusal> {
        if self.topic.config.semantics == Semantics::Queue {
            return Err(Refusal::QueueSubscribed(self.topic.name.clone()));
        }
        match self.group_mut(group) {
            Ok(state) if state.subscription.status.is_live() => {
                if state.subscription.options.ordering != subscribe.options.ordering {
                    return Err(Refusal::OrderingFixed {
                        topic: state.subscription.topic.clone(),
                        group: group.clone(),
                        ordering: state.subscription.options.ordering,
                    });
                }
                state.on(SubscriptionEvent::Subscribe, now)?;
                state.subscription.options = subscribe.options;
                Ok(state.subscription.clone())
            }
            _ => self.begin(
                group,
                subscribe.start,
                subscribe.options,
                next_subscription,
                now,
            ),
        }
    }

    /// Begins a new subscription.
    pub(crate) fn begin(
        &mut self,
        group: &GroupName,
        start: StartPosition,
        options: SubscriptionOptions,
        next_subscription: &mut i64,
        now: Timestamp,
    ) -> Result<Subscription, Refusal> {
        let (reading, group_index) = self.next_reading()?;
        *next_subscription += 1;
        let subscription = Subscription {
            id: SubscriptionId(*next_subscription),
            topic: self.topic.name.clone(),
            group: group.clone(),
            group_index,
            status: SubscriptionStatus::Active,
            start,
            options,
            subscribed_at: now,
            status_changed_at: now,
            last_heartbeat_at: now,
        };
        let id = subscription.id;
        self.latest.insert(group.clone(), id);
        self.readings.insert(reading, id);
        self.subscriptions
            .insert(id, SubscriptionState::new(subscription.clone(), reading));
        self.owe(id, &self.from(start));
        Ok(subscription)
    }

    /// Lets a group begin anew at this position.
    pub(crate) fn seek(
        &mut self,
        group: &GroupName,
        to: StartPosition,
        now: Timestamp,
    ) -> Result<Subscription, Refusal> {
        let Subscription { id, status, .. } = self.group(group)?.subscription;
        if !status.counts() {
            return Err(Refusal::NotSought {
                topic: self.topic.name.clone(),
                group: group.clone(),
                status,
            });
        }
        let (reading, group_index) = self.next_reading()?;
        self.forgive(id, now);
        self.readings.insert(reading, id);
        if let Some(state) = self.subscription_mut(id) {
            state.reading = reading;
            state.subscription.group_index = group_index;
        }
        self.owe(id, &self.from(to));
        Ok(self.group(group)?.subscription.clone())
    }

    /// Ends a subscription; it owes nothing any more.
    pub(crate) fn cancel(
        &mut self,
        group: &GroupName,
        now: Timestamp,
    ) -> Result<Subscription, Refusal> {
        if self.topic.config.semantics == Semantics::Queue {
            self.group(group)?;
            return Err(Refusal::QueueCancelled(self.topic.name.clone()));
        }
        let state = self.group_mut(group)?;
        state.on(SubscriptionEvent::Cancel, now)?;
        let cancelled = state.subscription.clone();
        self.forgive(cancelled.id, now);
        Ok(cancelled)
    }

    /// Makes a subscription owe nothing.
    fn forgive(&mut self, id: SubscriptionId, now: Timestamp) {
        if let Some((state, log)) = self.parts(id) {
            for message in state.ledger.clear() {
                log.forgive(message, state.reading, now);
            }
        }
    }

    /// A number and an index for another reading, which has not begun.
    fn next_reading(&mut self) -> Result<(Reading, GroupIndex), Refusal> {
        let reading = Reading(self.readings.len() as u64);
        let Self {
            indexes,
            readings,
            subscriptions,
            ..
        } = self;
        let present = |reading: Reading| {
            let state = subscriptions.get(readings.get(&reading)?)?;
            Some(state.reading == reading && state.subscription.status.is_live())
        };
        let index = indexes
            .assign(reading, |reading| !present(reading).unwrap_or(false))
            .ok_or_else(|| Refusal::TooManyGroups {
                topic: self.topic.name.clone(),
            })?;
        Ok((reading, index))
    }

    /// The committed messages at or above a position.
    fn from(&self, start: StartPosition) -> Vec<MessageId> {
        let first = match start {
            StartPosition::FromNow => None,
            StartPosition::FromBeginning => Some(MessageId(0)),
            StartPosition::FromMessage(id) => Some(id),
            StartPosition::FromTimestamp(at) => self
                .log
                .all()
                .find(|(_, stored)| stored.entry.message.created_at >= at)
                .map(|(id, _)| id),
        };
        first.map_or_else(Vec::new, |first| {
            let ids = self.log.all().map(|(id, _)| id);
            ids.filter(|id| *id >= first).collect()
        })
    }
}
