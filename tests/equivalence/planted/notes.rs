//! What a flawed engine remembers in order to go wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fanout_core::{
    CompletionMode, Delivery, GroupName, GroupStats, MessageId, Receipt, Timestamp, TopicName,
};

#[derive(Debug, Default)]
pub(super) struct Notes {
    /// All that was delivered, to anybody.
    pub(super) delivered: Vec<Delivery>,
    /// The highest id that has committed in each topic.
    pub(super) highest: BTreeMap<TopicName, MessageId>,
    /// The highest id that was drawn.
    pub(super) drawn: BTreeMap<TopicName, MessageId>,
    pub(super) lost: BTreeSet<(TopicName, MessageId)>,
    pub(super) fetches: u64,
    pub(super) hidden: Vec<Hidden>,
    /// Modes that topics only seem to have.
    pub(super) pretended: BTreeMap<TopicName, CompletionMode>,
    /// Receipts that are good, and are refused.
    pub(super) voided: HashSet<Receipt>,
    /// The ends of leases that were moved.
    pub(super) extended: HashMap<Receipt, Timestamp>,
}

/// A message that the engine holds for a member, and nobody knows.
#[derive(Clone, Debug)]
pub(super) struct Hidden {
    pub(super) topic: TopicName,
    pub(super) group: GroupName,
    pub(super) until: Timestamp,
    /// It is said to have failed, and this lane to wait for it.
    pub(super) lane: Option<u16>,
}

impl Notes {
    /// Ids were drawn for a batch that may not have committed yet.
    pub(super) fn draw(&mut self, topic: &TopicName, ids: &[MessageId]) {
        let drawn = self.drawn.entry(topic.clone()).or_default();
        *drawn = ids.iter().copied().fold(*drawn, MessageId::max);
    }

    pub(super) fn void(&mut self, topic: &TopicName) {
        let delivered = self.delivered.iter();
        let of_topic = delivered.filter(|delivery| delivery.message.topic == *topic);
        self.voided
            .extend(of_topic.map(|delivery| delivery.receipt));
    }

    /// Makes no mention of what is hidden.
    pub(super) fn gloss_over(&self, topic: &TopicName, stats: &mut GroupStats) {
        let hidden = self.hidden.iter().filter(|hidden| {
            hidden.topic == *topic && hidden.group == stats.group && hidden.until > stats.read_at
        });
        let lanes: BTreeSet<_> = hidden.clone().filter_map(|hidden| hidden.lane).collect();
        stats.in_flight = stats.in_flight.saturating_sub(hidden.count() as u64);
        stats.delayed += lanes.len() as u64;
    }

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
