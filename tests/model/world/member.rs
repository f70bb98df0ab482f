use super::{Lane, Update};

/// A consumer process: its session, and its row of `outbox_group_members`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    pub(crate) lane: Option<Lane>,
    /// Its commit under way; while there is one it does nothing else.
    pub(crate) commit: Option<Update>,
    /// It may use ticks from here on.
    pub(crate) oldest_tick: u8,
    /// Its row is there.
    pub(crate) enrolled: bool,
}
