use super::Ids;

/// `decide`, which holds the row of `outbox_topic_watermarks` between its statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Decider {
    pub(crate) decided: u8,
    /// Decided once these publishers have ended.
    pub(crate) candidate: Option<(u8, Ids)>,
    pub(crate) step: Step,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    #[default]
    Idle,
    /// The sequence was read.
    Read { drawn: u8 },
    /// The publishers were listed first: a planted mistake.
    Listed { publishers: Ids },
}
