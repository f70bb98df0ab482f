//! Where a message stands in the order of delivery.

use fanout_core::MessageId;

/// A place in the order in which a group gets messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    commit: u64,
    pub(crate) id: MessageId,
}

impl Place {
    /// By commit, then by id: ids are drawn before the commit, so they alone give no order.
    pub(crate) const fn in_log(commit: u64, id: MessageId) -> Self {
        Self { commit, id }
    }

    /// By id, for groups that take any order.
    pub(crate) const fn by_id(id: MessageId) -> Self {
        Self { commit: 0, id }
    }
}
