//! What a flawed engine remembers in order to go wrong.

use std::collections::{BTreeMap, BTreeSet};

use fanout_core::{Delivery, MessageId, TopicName};

#[derive(Debug, Default)]
pub(super) struct Notes {
    /// All that was delivered, to anybody.
    pub(super) delivered: Vec<Delivery>,
    /// The highest id that has committed in each topic.
    pub(super) highest: BTreeMap<TopicName, MessageId>,
    pub(super) lost: BTreeSet<(TopicName, MessageId)>,
    pub(super) fetches: u64,
}

impl Notes {
    /// A batch has committed: what lies below what committed before comes late.
    pub(super) fn commit(&mut self, topic: &TopicName, ids: &[MessageId]) {
        let before = self.highest.get(topic).copied().unwrap_or_default();
        for id in ids {
            if *id < before {
                self.lost.insert((topic.clone(), *id));
            }
        }
        let highest = ids.iter().copied().fold(before, MessageId::max);
        self.highest.insert(topic.clone(), highest);
    }
}
