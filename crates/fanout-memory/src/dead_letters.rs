//! The dead letters of all topics, deleted ones included.

use std::collections::BTreeMap;

use fanout_core::{DeadLetter, GroupName, TopicId, TopicName};

use crate::capacity::cost;

/// Dead letters by the name of their topic, oldest first.
#[derive(Debug, Default)]
pub(crate) struct DeadLetters {
    by_topic: BTreeMap<TopicName, Vec<(TopicId, DeadLetter)>>,
    bytes: usize,
}

impl DeadLetters {
    /// Adds one and returns what it counts.
    pub(crate) fn file(&mut self, topic: TopicId, letter: DeadLetter) -> usize {
        let message = &letter.message;
        let cost = cost(message.key.as_deref(), &message.headers, &message.payload)
            + letter.last_error.as_ref().map_or(0, String::len);
        self.bytes += cost;
        self.by_topic
            .entry(message.topic.clone())
            .or_default()
            .push((topic, letter));
        cost
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many a group of this very topic has.
    pub(crate) fn count(&self, topic: TopicId, name: &TopicName, group: &GroupName) -> u64 {
        self.by_topic.get(name).map_or(0, |letters| {
            letters
                .iter()
                .filter(|(of, letter)| *of == topic && letter.group == *group)
                .count() as u64
        })
    }

    /// The oldest ones under a topic's name; of one group, or of all.
    pub(crate) fn list(
        &self,
        name: &TopicName,
        group: Option<&GroupName>,
        limit: usize,
    ) -> Vec<DeadLetter> {
        self.by_topic
            .get(name)
            .into_iter()
            .flatten()
            .map(|(_, letter)| letter)
            .filter(|letter| group.is_none_or(|group| letter.group == *group))
            .take(limit)
            .cloned()
            .collect()
    }
}
