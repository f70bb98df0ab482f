//! What publishers know of their messages.

use std::collections::{BTreeMap, BTreeSet};

use fanout_core::MessageId;
use parking_lot::Mutex;

/// A message whose transaction committed.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) key: Option<String>,
    /// When its publish began, and when the commit had been answered, by the ledger's stamps.
    pub(crate) began: u64,
    pub(crate) committed: u64,
}

/// The messages of all publishers.
#[derive(Debug, Default)]
pub(crate) struct Published {
    committed: Mutex<BTreeMap<MessageId, Known>>,
    rolled_back: Mutex<BTreeSet<MessageId>>,
    /// Commits below an id that had committed before, and by how much at most.
    late: Mutex<(usize, i64)>,
}

impl Published {
    pub(crate) fn committed(&self, messages: impl IntoIterator<Item = (MessageId, Known)>) {
        let mut committed = self.committed.lock();
        let before = committed.last_key_value().map_or(0, |(id, _)| id.0);
        for (id, known) in messages {
            if id.0 < before {
                let mut late = self.late.lock();
                *late = (late.0 + 1, late.1.max(before - id.0));
            }
            assert!(
                committed.insert(id, known).is_none(),
                "id {id} was drawn twice"
            );
        }
    }

    pub(crate) fn rolled_back(&self, ids: impl IntoIterator<Item = MessageId>) {
        self.rolled_back.lock().extend(ids);
    }

    pub(crate) fn messages(&self) -> BTreeMap<MessageId, Known> {
        self.committed.lock().clone()
    }

    pub(crate) fn phantoms(&self) -> BTreeSet<MessageId> {
        self.rolled_back.lock().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.committed.lock().len()
    }

    /// How many messages committed after a message with a higher id, and the longest way back.
    pub(crate) fn late(&self) -> (usize, i64) {
        *self.late.lock()
    }
}
