//! The messages of one topic and who owes them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use fanout_core::{MessageId, Ordering, Timestamp};

use crate::entry::Entry;
use crate::reading::Reading;

/// A committed message and those who must settle it.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) entry: Arc<Entry>,
    /// The number of its commit.
    pub(crate) commit: u64,
    owed_by: BTreeSet<Reading>,
    /// Those that must settle a tracked message, in any order.
    pub(crate) required: BTreeSet<Reading>,
    /// Those of them that have.
    pub(crate) completed: BTreeSet<Reading>,
    pub(crate) completed_at: Option<Timestamp>,
}

/// The messages of one topic.
#[derive(Debug, Default)]
pub(crate) struct Log {
    stored: BTreeMap<MessageId, Stored>,
    commits: u64,
    /// Those that nobody owes: they may go when room is needed.
    unowed: BTreeSet<MessageId>,
    unowed_bytes: usize,
    bytes: usize,
}

impl Log {
    /// Adds messages that commit together. Nobody owes them yet.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        self.commits += 1;
        for entry in entries {
            let id = entry.message.id;
            self.bytes += entry.cost;
            self.unowed_bytes += entry.cost;
            self.unowed.insert(id);
            let stored = Stored {
                entry: Arc::new(entry),
                commit: self.commits,
                owed_by: BTreeSet::new(),
                required: BTreeSet::new(),
                completed: BTreeSet::new(),
                completed_at: None,
            };
            self.stored.insert(id, stored);
        }
    }

    /// The message is owed by this reading now.
    pub(crate) fn owe(
        &mut self,
        id: MessageId,
        by: Reading,
        ordering: Ordering,
    ) -> Option<&Stored> {
        let stored = self.stored.get_mut(&id)?;
        stored.owed_by.insert(by);
        if stored.entry.tracked && ordering == Ordering::Unordered {
            stored.required.insert(by);
            stored.completed_at = None;
        }
        if self.unowed.remove(&id) {
            self.unowed_bytes -= stored.entry.cost;
        }
        Some(stored)
    }

    /// The reading has settled the message.
    pub(crate) fn complete(&mut self, id: MessageId, by: Reading, now: Timestamp) {
        if let Some(stored) = self.stored.get_mut(&id)
            && stored.owed_by.contains(&by)
            && stored.required.contains(&by)
        {
            stored.completed.insert(by);
        }
        self.forgive(id, by, now);
    }

    /// The reading owes the message no more.
    pub(crate) fn forgive(&mut self, id: MessageId, by: Reading, now: Timestamp) {
        let Some(stored) = self.stored.get_mut(&id) else {
            return;
        };
        if !stored.owed_by.remove(&by) {
            return;
        }
        if stored.required.contains(&by) {
            if !stored.completed.contains(&by) {
                stored.required.remove(&by);
            }
            if stored.required == stored.completed {
                stored.completed_at = Some(now);
            }
        }
        if stored.owed_by.is_empty() {
            self.unowed.insert(id);
            self.unowed_bytes += stored.entry.cost;
        }
    }

    /// The messages above this one, ascending.
    pub(crate) fn above(&self, after: MessageId) -> impl Iterator<Item = (MessageId, &Stored)> {
        self.stored
            .range((Excluded(after), Unbounded))
            .map(|(id, stored)| (*id, stored))
    }

    /// All messages, ascending.
    pub(crate) fn all(&self) -> impl Iterator<Item = (MessageId, &Stored)> {
        self.stored.iter().map(|(id, stored)| (*id, stored))
    }

    /// When the message was written.
    pub(crate) fn written_at(&self, id: MessageId) -> Option<Timestamp> {
        let stored = self.stored.get(&id)?;
        Some(stored.entry.message.created_at)
    }

    pub(crate) fn lowest(&self) -> Option<MessageId> {
        self.stored.keys().next().copied()
    }

    /// How many messages some group owes.
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
        self.written_at(*self.unowed.first()?)
    }

    /// Drops the first message that nobody owes and returns what it counted.
    pub(crate) fn evict(&mut self) -> usize {
        let gone = self
            .unowed
            .pop_first()
            .and_then(|id| self.stored.remove(&id));
        let cost = gone.map_or(0, |stored| stored.entry.cost);
        self.bytes -= cost;
        self.unowed_bytes -= cost;
        cost
    }
}
