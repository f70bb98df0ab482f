//! Everything that the engine knows.

use std::collections::BTreeMap;

use fanout_core::{
    DeleteTopic, GroupName, MessageId, Semantics, StartPosition, SubscriptionOptions, Timestamp,
    Topic, TopicConfig, TopicId, TopicName,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::capacity::Capacity;
use crate::dead_letters::DeadLetters;
use crate::refusal::Refusal;
use crate::topic_state::TopicState;

/// The whole state, behind one mutex.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) closed: bool,
    pub(crate) topics: BTreeMap<TopicId, TopicState>,
    names: BTreeMap<TopicName, TopicId>,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) capacity: Capacity,
    pub(crate) rng: StdRng,
    next_topic: i32,
    pub(crate) next_subscription: i64,
    pub(crate) next_token: i64,
    next_session: u64,
}

impl State {
    pub(crate) fn new(max_bytes: usize, seed: u64) -> Self {
        Self {
            closed: false,
            topics: BTreeMap::new(),
            names: BTreeMap::new(),
            dead_letters: DeadLetters::default(),
            capacity: Capacity {
                max: max_bytes,
                used: 0,
            },
            rng: StdRng::seed_from_u64(seed),
            next_topic: 0,
            next_subscription: 0,
            next_token: 0,
            next_session: 0,
        }
    }

    /// A number for a member or a transaction.
    pub(crate) fn next_session(&mut self) -> u64 {
        self.next_session += 1;
        self.next_session
    }

    pub(crate) fn topic(&self, name: &TopicName) -> Result<&TopicState, Refusal> {
        self.names
            .get(name)
            .and_then(|id| self.topics.get(id))
            .ok_or_else(|| Refusal::TopicNotFound(name.clone()))
    }

    pub(crate) fn topic_mut(&mut self, name: &TopicName) -> Result<&mut TopicState, Refusal> {
        self.names
            .get(name)
            .and_then(|id| self.topics.get_mut(id))
            .ok_or_else(|| Refusal::TopicNotFound(name.clone()))
    }

    /// All topics, by name.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = &TopicState> {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    pub(crate) fn create_topic(
        &mut self,
        name: &TopicName,
        config: TopicConfig,
        now: Timestamp,
    ) -> Result<Topic, Refusal> {
        if self.names.contains_key(name) {
            return Err(Refusal::TopicExists(name.clone()));
        }
        self.next_topic += 1;
        let topic = Topic {
            id: TopicId(self.next_topic),
            name: name.clone(),
            config,
            created_at: now,
            dropped_id: MessageId(0),
        };
        let mut state = TopicState::new(topic.clone());
        if topic.config.semantics == Semantics::Queue {
            state.begin(
                &GroupName::queue(),
                StartPosition::FromNow,
                SubscriptionOptions::default(),
                &mut self.next_subscription,
                now,
            )?;
        }
        self.names.insert(name.clone(), topic.id);
        self.topics.insert(topic.id, state);
        Ok(topic)
    }

    pub(crate) fn delete_topic(
        &mut self,
        name: &TopicName,
        mode: DeleteTopic,
    ) -> Result<(), Refusal> {
        let topic = self.topic(name)?;
        let messages = topic.log.owed();
        if mode == DeleteTopic::IfSettled && messages > 0 {
            return Err(Refusal::WouldLoseMessages {
                topic: name.clone(),
                messages,
            });
        }
        let (id, bytes) = (topic.topic.id, topic.log.bytes());
        self.capacity.used -= bytes;
        self.topics.remove(&id);
        self.names.remove(name);
        Ok(())
    }

    /// Makes room for this many bytes: drops the oldest messages that nobody owes, or nothing at
    /// all when that would not do.
    pub(crate) fn make_room(&mut self, bytes: usize) -> Result<(), Refusal> {
        let evictable: usize = self.topics.values().map(|t| t.log.unowed_bytes()).sum();
        if self.capacity.lacking(bytes) > evictable {
            return Err(Refusal::Full {
                needed: bytes,
                used: self.capacity.used,
                evictable,
                dead_letters: self.dead_letters.bytes(),
                max: self.capacity.max,
            });
        }
        while self.capacity.lacking(bytes) > 0 {
            let oldest = self
                .topics
                .values_mut()
                .filter_map(|topic| Some((topic.log.oldest_unowed()?, topic)))
                .min_by_key(|(at, _)| *at);
            let Some((_, topic)) = oldest else {
                break;
            };
            self.capacity.used -= topic.evict();
        }
        Ok(())
    }
}
