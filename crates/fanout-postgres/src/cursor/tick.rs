//! Ticks.

use std::sync::Arc;

use fanout_core::Snapshot;

/// A stored snapshot and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tick {
    pub(crate) number: i64,
    pub(crate) snapshot: Arc<Snapshot>,
}
