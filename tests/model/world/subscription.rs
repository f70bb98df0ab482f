use super::Ids;

/// The group's row of `outbox_topic_subscriptions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Subscription {
    pub(crate) status: Status,
    /// `start_snapshot`: what it does not see is owed.
    pub(crate) start_seen: Ids,
    pub(crate) start_tick: u8,
    pub(crate) start_decided: u8,
    /// What lies at or above it is owed.
    pub(crate) owed_from: Option<u8>,
    pub(crate) catch_up: CatchUp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    #[default]
    Absent,
    /// Its tick is taken, its transaction not committed.
    Ticked(u8),
    Live,
}

/// `catch_up`: what an unordered group is given of tracked messages whose publishers did not see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum CatchUp {
    #[default]
    Begins,
    /// Within the first call: the sequence was read.
    Read {
        to: u8,
    },
    /// Within the first call: so were the publishers.
    Listed {
        to: u8,
        publishers: Ids,
    },
    /// Between calls.
    Awaits {
        to: u8,
        publishers: Ids,
    },
    Done,
}
