//! One incarnation of a topic.

use std::collections::{BTreeMap, BTreeSet};

use fanout_core::{
    GroupIndex, GroupName, GroupStats, MAX_GROUPS, MessageAccounting, MessageId, Semantics,
    StartPosition, Subscribe, Subscription, SubscriptionEvent, SubscriptionId, SubscriptionOptions,
    SubscriptionStatus, Timestamp, Topic,
};

use crate::dead_letters::DeadLetters;
use crate::log::Log;
use crate::refusal::Refusal;
use crate::subscription_state::SubscriptionState;

/// A topic with its messages and subscriptions.
#[derive(Debug)]
pub(crate) struct TopicState {
    pub(crate) topic: Topic,
    pub(crate) log: Log,
    pub(crate) next_id: i64,
    /// The first ids of batches in open transactions.
    pub(crate) undecided: BTreeSet<MessageId>,
    subscriptions: BTreeMap<SubscriptionId, SubscriptionState>,
    /// The latest subscription of each group.
    latest: BTreeMap<GroupName, SubscriptionId>,
    /// The latest subscription with each index.
    indexes: BTreeMap<GroupIndex, SubscriptionId>,
}

impl TopicState {
    pub(crate) fn new(topic: Topic) -> Self {
        Self {
            topic,
            log: Log::default(),
            next_id: 1,
            undecided: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            latest: BTreeMap::new(),
            indexes: BTreeMap::new(),
        }
    }

    /// The latest subscription of the group.
    pub(crate) fn group(&self, group: &GroupName) -> Result<&SubscriptionState, Refusal> {
        self.latest
            .get(group)
            .and_then(|id| self.subscriptions.get(id))
            .ok_or_else(|| self.not_subscribed(group))
    }

    /// The latest subscription of the group, to change it.
    pub(crate) fn group_mut(
        &mut self,
        group: &GroupName,
    ) -> Result<&mut SubscriptionState, Refusal> {
        let refusal = self.not_subscribed(group);
        self.latest
            .get(group)
            .and_then(|id| self.subscriptions.get_mut(id))
            .ok_or(refusal)
    }

    fn not_subscribed(&self, group: &GroupName) -> Refusal {
        Refusal::SubscriptionNotFound {
            topic: self.topic.name.clone(),
            group: group.clone(),
        }
    }

    pub(crate) fn subscription(&self, id: SubscriptionId) -> Option<&SubscriptionState> {
        self.subscriptions.get(&id)
    }

    pub(crate) fn subscription_mut(
        &mut self,
        id: SubscriptionId,
    ) -> Option<&mut SubscriptionState> {
        self.subscriptions.get_mut(&id)
    }

    /// The subscription and the log that it reads, both to change.
    pub(crate) fn parts(
        &mut self,
        id: SubscriptionId,
    ) -> Option<(&mut SubscriptionState, &mut Log)> {
        let state = self.subscriptions.get_mut(&id)?;
        Some((state, &mut self.log))
    }

    /// The latest subscription with this index.
    pub(crate) fn with_index(&self, index: GroupIndex) -> Option<&SubscriptionState> {
        self.subscriptions.get(self.indexes.get(&index)?)
    }

    /// Every subscription, by group and age.
    pub(crate) fn all(&self) -> Vec<Subscription> {
        let mut all: Vec<_> = self
            .subscriptions
            .values()
            .map(|state| state.subscription.clone())
            .collect();
        all.sort_by(|a, b| (&a.group, a.id).cmp(&(&b.group, b.id)));
        all
    }

    fn live(&self) -> impl Iterator<Item = &SubscriptionState> {
        self.latest
            .values()
            .filter_map(|id| self.subscriptions.get(id))
            .filter(|state| state.subscription.status.is_live())
    }

    /// The subscriptions that must settle what is published now.
    pub(crate) fn counting(&self) -> BTreeSet<SubscriptionId> {
        self.live()
            .filter(|state| state.subscription.status.counts())
            .map(|state| state.subscription.id)
            .collect()
    }

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
        let group_index = self.free_index().ok_or_else(|| Refusal::TooManyGroups {
            topic: self.topic.name.clone(),
        })?;
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
        self.indexes.insert(group_index, id);
        self.subscriptions
            .insert(id, SubscriptionState::new(subscription.clone()));
        Ok(subscription)
    }

    /// One that was never used, while there is one, so that old receipts are told apart; then that
    /// of the oldest cancelled subscription.
    fn free_index(&self) -> Option<GroupIndex> {
        let unused = u16::try_from(self.indexes.len())
            .ok()
            .filter(|index| *index < MAX_GROUPS)
            .map(GroupIndex);
        unused.or_else(|| {
            self.indexes
                .iter()
                .filter(|(_, id)| {
                    let state = self.subscriptions.get(id);
                    state.is_none_or(|state| !state.subscription.status.is_live())
                })
                .min_by_key(|(_, id)| **id)
                .map(|(index, _)| *index)
        })
    }

    /// Ends a subscription; it owes nothing any more.
    pub(crate) fn cancel(
        &mut self,
        group: &GroupName,
        now: Timestamp,
    ) -> Result<Subscription, Refusal> {
        let id = self.group(group)?.subscription.id;
        if self.topic.config.semantics == Semantics::Queue {
            return Err(Refusal::QueueCancelled(self.topic.name.clone()));
        }
        let Some((state, log)) = self.parts(id) else {
            return Err(self.not_subscribed(group));
        };
        state.on(SubscriptionEvent::Cancel, now)?;
        for message in state.ledger.clear() {
            log.forgive(message, id, now);
        }
        Ok(state.subscription.clone())
    }

    /// Drops the oldest message that nobody owes and returns what it counted.
    pub(crate) fn evict(&mut self) -> usize {
        let cost = self.log.evict();
        // An open transaction may yet commit a message at or above its first id.
        let kept = [self.log.lowest(), self.undecided.first().copied()];
        let lowest = kept
            .into_iter()
            .flatten()
            .fold(MessageId(self.next_id), MessageId::min);
        self.topic.dropped_id = self.topic.dropped_id.max(MessageId(lowest.0 - 1));
        cost
    }

    pub(crate) fn stats(&self, dead_letters: &DeadLetters, now: Timestamp) -> Vec<GroupStats> {
        self.live()
            .map(
                |SubscriptionState {
                     subscription,
                     ledger,
                 }| {
                    let lowest = ledger.lowest();
                    let (in_flight, delayed) = ledger.held_back(now);
                    GroupStats {
                        group: subscription.group.clone(),
                        status: subscription.status,
                        pending: ledger.pending(),
                        in_flight,
                        delayed,
                        lowest_unsettled: lowest,
                        oldest_pending_at: lowest
                            .and_then(|id| self.log.message(id))
                            .map(|message| message.created_at),
                        dead_letters: dead_letters.count(
                            self.topic.id,
                            &self.topic.name,
                            &subscription.group,
                        ),
                        read_at: now,
                    }
                },
            )
            .collect()
    }

    pub(crate) fn accounting(&self, after: MessageId, limit: usize) -> Vec<MessageAccounting> {
        let names = |ids: &BTreeSet<SubscriptionId>| {
            ids.iter()
                .filter_map(|id| self.subscriptions.get(id))
                .map(|state| state.subscription.group.clone())
                .collect::<BTreeSet<_>>()
        };
        self.log
            .above(after)
            .take(limit)
            .map(|(id, stored)| {
                let completed = names(&stored.completed_by);
                MessageAccounting {
                    id,
                    required: &names(&stored.owed_by) | &completed,
                    completed,
                    completed_at: stored.completed_at,
                }
            })
            .collect()
    }
}
