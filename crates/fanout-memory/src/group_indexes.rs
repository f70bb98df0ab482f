//! Which group has, or had, which index.

use std::collections::BTreeMap;

use fanout_core::{GroupIndex, MAX_GROUPS};

use crate::reading::Reading;

/// The latest reading with each index.
#[derive(Debug, Default)]
pub(crate) struct GroupIndexes {
    latest: BTreeMap<GroupIndex, Reading>,
}

impl GroupIndexes {
    /// Gives the reading an index that was never used, while there is one; then that of the oldest reading
    /// that has ended.
    pub(crate) fn assign(
        &mut self,
        reading: Reading,
        has_ended: impl Fn(Reading) -> bool,
    ) -> Option<GroupIndex> {
        let unused = u16::try_from(self.latest.len())
            .ok()
            .filter(|index| *index < MAX_GROUPS)
            .map(GroupIndex);
        let index = unused.or_else(|| {
            self.latest
                .iter()
                .filter(|(_, reading)| has_ended(**reading))
                .min_by_key(|(_, reading)| **reading)
                .map(|(index, _)| *index)
        })?;
        self.latest.insert(index, reading);
        Some(index)
    }
}
