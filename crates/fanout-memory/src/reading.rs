//! One go of a group at a topic.

/// Begins with a subscription, and anew with each seek. Unlike group indexes, these numbers are
/// never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reading(pub(crate) u64);
