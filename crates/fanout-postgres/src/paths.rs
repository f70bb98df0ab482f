//! Which of the two paths a member takes.

use std::time::Duration;

use fanout_core::{Ordering, Scope};
use tokio::time::Instant;

/// How long an unordered group on a topic that counts references may leave its cursors alone while they
/// find nothing.
const REST: Duration = Duration::from_secs(1);

/// What a member knows of its two paths.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    resting_until: Option<Instant>,
    turn: bool,
}

impl Paths {
    /// Whether the cursors need not be looked at.
    pub(crate) fn cursor_rests(&self, scope: &Scope) -> bool {
        scope.options.ordering == Ordering::Unordered
            && self
                .resting_until
                .is_some_and(|until| Instant::now() < until)
    }

    /// Notes whether the cursors found nothing on a topic whose new messages have tracking rows.
    pub(crate) fn note(&mut self, scope: &Scope, nothing: bool) {
        let rests = nothing && scope.options.ordering == Ordering::Unordered;
        self.resting_until = rests.then(|| Instant::now() + REST);
    }

    /// Whose turn it is when both paths have work and there is room for one message: true for rows.
    pub(crate) fn next_turn(&mut self) -> bool {
        self.turn = !self.turn;
        self.turn
    }
}
