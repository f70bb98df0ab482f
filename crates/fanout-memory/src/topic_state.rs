//! One incarnation of a topic.

use std::collections::{BTreeMap, BTreeSet};

use fanout_core::{GroupName, MessageId, SubscriptionId, Topic};

use crate::group_indexes::GroupIndexes;
use crate::log::Log;
use crate::reading::Reading;
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
    pub(crate) subscriptions: BTreeMap<SubscriptionId, SubscriptionState>,
    /// The latest subscription of each group.
    pub(crate) latest: BTreeMap<GroupName, SubscriptionId>,
    /// Whose each reading is, or was.
    pub(crate) readings: BTreeMap<Reading, SubscriptionId>,
    pub(crate) indexes: GroupIndexes,
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
            readings: BTreeMap::new(),
            indexes: GroupIndexes::default(),
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

    /// Whose reading it is, or was.
    pub(crate) fn reader(&self, reading: Reading) -> Option<&SubscriptionState> {
        self.subscriptions.get(self.readings.get(&reading)?)
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &SubscriptionState> {
        self.latest
            .values()
            .filter_map(|id| self.subscriptions.get(id))
            .filter(|state| state.subscription.status.is_live())
    }

    /// The subscriptions that must settle what is published now.
    pub(crate) fn counting(&self) -> impl Iterator<Item = &SubscriptionState> {
        self.live()
            .filter(|state| state.subscription.status.counts())
    }

    /// Makes a subscription owe messages that the log has.
    pub(crate) fn owe(&mut self, id: SubscriptionId, messages: &[MessageId]) {
        let Some((state, log)) = self.parts(id) else {
            return;
        };
        let ordering = state.subscription.options.ordering;
        for message in messages {
            if let Some(stored) = log.owe(*message, state.reading, ordering) {
                state.ledger.owe(stored);
            }
        }
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
}
