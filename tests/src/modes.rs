//! In which modes a history runs.

use std::fmt;

use fanout_core::CompletionMode;

use crate::history::History;

/// How both topics of a history account for completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Modes {
    /// In this mode throughout: what the history says of modes is passed over.
    Only(CompletionMode),
    /// As the history says.
    Mixed,
}

impl Modes {
    pub const ONLY: [Self; 2] = [
        Self::Only(CompletionMode::ReferenceCounting),
        Self::Only(CompletionMode::OffsetWatermark),
    ];
    pub const ALL: [Self; 3] = [Self::ONLY[0], Self::ONLY[1], Self::Mixed];

    /// The mode in which the topics are created.
    pub(crate) const fn first(self, history: &History) -> CompletionMode {
        match self {
            Self::Only(mode) => mode,
            Self::Mixed => history.first_mode,
        }
    }
}

impl fmt::Display for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(mode) => mode.fmt(f),
            Self::Mixed => f.pad("mixed"),
        }
    }
}
