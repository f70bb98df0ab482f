//! Messages on their way in: staged, then admitted or abandoned.

use fanout_core::{
    CompletionMode, Lane, Message, MessageId, NewMessage, Timestamp, TopicId, TopicName, lane_of,
};

use crate::capacity::cost;
use crate::entry::Entry;
use crate::refusal::Refusal;
use crate::state::State;

/// A batch that has its ids and its room, and that nobody can see yet.
#[derive(Debug)]
pub(crate) struct Staged {
    topic: TopicId,
    name: TopicName,
    first: MessageId,
    entries: Vec<Entry>,
    bytes: usize,
}

impl Staged {
    pub(crate) fn ids(&self) -> Vec<MessageId> {
        self.entries.iter().map(|entry| entry.message.id).collect()
    }
}

impl State {
    /// Draws ids and reserves room for a batch that is not empty.
    pub(crate) fn stage(
        &mut self,
        name: &TopicName,
        messages: Vec<NewMessage>,
        now: Timestamp,
    ) -> Result<Staged, Refusal> {
        let topic = self.topic(name)?;
        if topic.topic.config.block_writes_on_zero_subscriptions
            && topic.counting().next().is_none()
        {
            return Err(Refusal::NoSubscriptions(name.clone()));
        }
        let costs: Vec<_> = messages
            .iter()
            .map(|new| cost(new.key.as_deref(), &new.headers, &new.payload))
            .collect();
        let bytes = costs.iter().sum();
        self.make_room(bytes)?;
        self.capacity.used += bytes;

        let topic = self.topic_mut(name)?;
        let first = MessageId(topic.next_id);
        topic.undecided.insert(first);
        topic.next_id += costs.len() as i64;
        let config = &topic.topic.config;
        let entries = (first.0..)
            .zip(messages.into_iter().zip(costs))
            .map(|(id, (new, cost))| Entry {
                cost,
                lane: Lane(lane_of(new.key.as_deref(), id, config.lanes)),
                tracked: config.completion_mode == CompletionMode::ReferenceCounting,
                message: Message {
                    topic: name.clone(),
                    id: MessageId(id),
                    key: new.key,
                    headers: new.headers,
                    payload: new.payload,
                    created_at: now,
                },
            })
            .collect();
        Ok(Staged {
            topic: topic.topic.id,
            name: name.clone(),
            first,
            entries,
            bytes,
        })
    }

    /// Whether the batch can be admitted: its topic still exists.
    pub(crate) fn check_staged(&self, staged: &Staged) -> Result<(), Refusal> {
        if self.topics.contains_key(&staged.topic) {
            return Ok(());
        }
        Err(Refusal::TopicDeleted(staged.name.clone()))
    }

    /// Makes the batch owed by every group that counts now. It was checked in the same step.
    pub(crate) fn admit(&mut self, staged: Staged) {
        let Some(topic) = self.topics.get_mut(&staged.topic) else {
            return self.abandon(&staged);
        };
        topic.undecided.remove(&staged.first);
        let ids = staged.ids();
        let owed_by: Vec<_> = topic.counting().map(|s| s.subscription.id).collect();
        topic.log.append(staged.entries);
        for subscription in owed_by {
            topic.owe(subscription, &ids);
        }
    }

    /// Gives back the batch's room. Its ids are burnt.
    pub(crate) fn abandon(&mut self, staged: &Staged) {
        self.capacity.used -= staged.bytes;
        if let Some(topic) = self.topics.get_mut(&staged.topic) {
            topic.undecided.remove(&staged.first);
        }
    }
}
