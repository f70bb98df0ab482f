//! The ways in which a message reaches a group.

use fanout_core::Ordering;

/// How a message reaches a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// On its own, in any order: a tracked message, or one that was parked.
    Alone,
    /// With the log, in any order.
    Stream,
    /// With its lane, in the order of its key.
    Lane,
}

impl Path {
    /// How a message that never failed reaches a group.
    pub(crate) const fn of(ordering: Ordering, tracked: bool) -> Self {
        match (ordering, tracked) {
            (Ordering::PerKey, _) => Self::Lane,
            (Ordering::Unordered, true) => Self::Alone,
            (Ordering::Unordered, false) => Self::Stream,
        }
    }
}
