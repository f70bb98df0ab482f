//! The order of each key.

use std::collections::{BTreeMap, BTreeSet};

use crate::owed::Owed;
use crate::place::Place;

/// The unsettled messages of each key in order. Parked ones and those without a key keep none.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    by_key: BTreeMap<String, BTreeSet<Place>>,
}

impl Lines {
    pub(crate) fn add(&mut self, owed: &Owed) {
        if let Some(key) = owed.ordered_key() {
            let line = self.by_key.entry(key.to_owned()).or_default();
            line.insert(owed.place);
        }
    }

    pub(crate) fn remove(&mut self, owed: &Owed) {
        if let Some(key) = owed.ordered_key()
            && let Some(line) = self.by_key.get_mut(key)
        {
            line.remove(&owed.place);
            if line.is_empty() {
                self.by_key.remove(key);
            }
        }
    }

    /// The earlier messages of its key.
    pub(crate) fn before(&self, owed: &Owed) -> impl Iterator<Item = Place> {
        owed.ordered_key()
            .and_then(|key| self.by_key.get(key))
            .into_iter()
            .flat_map(|line| line.range(..owed.place).copied())
    }
}
