//! Short scripts, to be interleaved.

use fanout_core::CompletionMode;

use crate::sight::Sight;
use crate::step::Step;

/// Scripts of sessions, and what is done before they begin.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    pub(crate) name: String,
    pub(crate) mode: CompletionMode,
    /// Steps that sessions take one after the other before.
    pub(crate) setup: Vec<(usize, Step)>,
    pub(crate) scripts: Vec<Vec<Step>>,
    /// What at least one interleaving must come to; else they are too tame.
    pub(crate) sights: Vec<Sight>,
    /// Not for every day.
    pub(crate) large: bool,
}

impl Play {
    pub(crate) fn new(name: impl Into<String>, mode: CompletionMode) -> Self {
        Self {
            name: format!("{}, {mode}", name.into()),
            mode,
            setup: Vec::new(),
            scripts: Vec::new(),
            sights: Vec::new(),
            large: false,
        }
    }

    /// Lets a session take a step before the scripts begin.
    pub(crate) fn first(mut self, session: usize, step: Step) -> Self {
        self.setup.push((session, step));
        self
    }

    /// Gives the next session its script.
    pub(crate) fn session(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.scripts.push(steps.into_iter().collect());
        self
    }

    pub(crate) fn must_see(mut self, sights: impl IntoIterator<Item = Sight>) -> Self {
        self.sights.extend(sights);
        self
    }

    /// Leaves it to the full size, unless it `is_daily`.
    pub(crate) const fn daily(mut self, is_daily: bool) -> Self {
        self.large = !is_daily;
        self
    }

    pub(crate) fn lengths(&self) -> Vec<usize> {
        self.scripts.iter().map(Vec::len).collect()
    }
}

/// Both ways of accounting.
pub(crate) const MODES: [CompletionMode; 2] = [
    CompletionMode::ReferenceCounting,
    CompletionMode::OffsetWatermark,
];
