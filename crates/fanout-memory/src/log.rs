//! The messages of one topic and who owes them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use fanout_core::{Message, MessageId, SubscriptionId, Timestamp};

/// A message and the subscriptions that must settle it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) message: Message,
    pub(crate) cost: usize,
    pub(crate) owed_by: BTreeSet<SubscriptionId>,
    pub(crate) completed_by: BTreeSet<SubscriptionId>,
    pub(crate) completed_at: Option<Timestamp>,
}

/// The messages of one topic.
#[derive(Debug, Default)]
pub(crate) struct Log {
    stored: BTreeMap<MessageId, Stored>,
    /// Those that nobody owes: they may go when room is needed.
    unowed: BTreeSet<MessageId>,
    unowed_bytes: usize,
    bytes: usize,
}

impl Log {
    pub(crate) fn insert(
        &mut self,
        message: Message,
        cost: usize,
        owed_by: BTreeSet<SubscriptionId>,
    ) {
        let id = message.id;
        self.bytes += cost;
        if owed_by.is_empty() {
            self.unowed.insert(id);
            self.unowed_bytes += cost;
        }
        let stored = Stored {
            message,
            cost,
            owed_by,
            completed_by: BTreeSet::new(),
            completed_at: None,
        };
        self.stored.insert(id, stored);
    }

    /// The subscription has settled the message.
    pub(crate) fn complete(&mut self, id: MessageId, by: SubscriptionId, now: Timestamp) {
        if let Some(stored) = self.stored.get_mut(&id)
            && stored.owed_by.contains(&by)
        {
            stored.completed_by.insert(by);
        }
        self.forgive(id, by, now);
    }

    /// The subscription owes the message no more.
    pub(crate) fn forgive(&mut self, id: MessageId, by: SubscriptionId, now: Timestamp) {
        let Some(stored) = self.stored.get_mut(&id) else {
            return;
        };
        if stored.owed_by.remove(&by) && stored.owed_by.is_empty() {
            stored.completed_at = Some(now);
            self.unowed.insert(id);
            self.unowed_bytes += stored.cost;
        }
    }

    pub(crate) fn message(&self, id: MessageId) -> Option<&Message> {
        self.stored.get(&id).map(|stored| &stored.message)
    }

    pub(crate) fn above(&self, after: MessageId) -> impl Iterator<Item = (MessageId, &Stored)> {
        self.stored
            .range((Excluded(after), Unbounded))
            .map(|(id, stored)| (*id, stored))
    }

    pub(crate) fn lowest(&self) -> Option<MessageId> {
        self.stored.keys().next().copied()
    }

    /// How many messages some subscription owes.
    pub(crate) fn owed(&self) -> usize {
        self.stored.len() - self.unowed.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn unowed_bytes(&self) -> usize {
        self.unowed_bytes
    }

    /// When the first message that nobody owes was written.
    pub(crate) fn oldest_unowed(&self) -> Option<Timestamp> {
        let id = self.unowed.first()?;
        self.message(*id).map(|message| message.created_at)
    }

    /// Drops the first message that nobody owes and returns what it counted.
    pub(crate) fn evict(&mut self) -> usize {
        let gone = self
            .unowed
            .pop_first()
            .and_then(|id| self.stored.remove(&id));
        let cost = gone.map_or(0, |stored| stored.cost);
        self.bytes -= cost;
        self.unowed_bytes -= cost;
        cost
    }
}
