use super::Ids;

/// A message, which is a publisher's transaction too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) phase: Phase,
    /// Fixed by the mode that its INSERT saw.
    pub(crate) tracked: bool,
    /// Its trigger saw the group, so that a tracking row comes with its commit.
    pub(crate) sees_group: bool,
    /// What had committed when its publisher began: under order these come first.
    pub(crate) after: Ids,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    #[default]
    Unpublished,
    /// Holds the publish lock and has its id.
    Drawn,
    Inserted,
    Committed,
    RolledBack,
}
