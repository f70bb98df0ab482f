//! Which of the two paths a member takes.

use std::time::Duration;

use fanout_core::{Ordering, Scope};
use tokio::time::Instant;

/// When an unordered group on a topic that counts references leaves its cursors alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// How long they must have found nothing before, so that publishers which were under way when the mode
    /// changed to reference counting are met without a rest.
    pub(crate) after: Duration,
    /// How long it lasts.
    pub(crate) length: Duration,
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            after: Duration::from_secs(1),
            length: Duration::from_secs(1),
        }
    }
}

/// What a member knows of its two paths.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    rest: Rest,
    empty_since: Option<Instant>,
    resting_until: Option<Instant>,
    turn: bool,
}

impl Paths {
    pub(crate) fn new(rest: Rest) -> Self {
        Self {
            rest,
            ..Self::default()
        }
    }

    /// Whether the cursors need not be looked at.
    pub(crate) fn cursor_rests(&self, scope: &Scope) -> bool {
        scope.options.ordering == Ordering::Unordered
            && self
                .resting_until
                .is_some_and(|until| Instant::now() < until)
    }

    /// Notes whether the cursors found nothing on a topic whose new messages have tracking rows.
    pub(crate) fn note(&mut self, scope: &Scope, nothing: bool) {
        if !nothing || scope.options.ordering != Ordering::Unordered {
            return self.wake();
        }
        let now = Instant::now();
        let since = *self.empty_since.get_or_insert(now);
        let Rest { after, length } = self.rest;
        self.resting_until = (now - since >= after).then(|| now + length);
    }

    /// The cursors are to be looked at again.
    pub(crate) fn wake(&mut self) {
        (self.empty_since, self.resting_until) = (None, None);
    }

    /// Whose turn it is when both paths have work and there is room for one message: true for rows.
    pub(crate) fn next_turn(&mut self) -> bool {
        self.turn = !self.turn;
        self.turn
    }
}

#[cfg(test)]
mod tests {
    use fanout_core::{GroupIndex, SubscriptionId, SubscriptionOptions, TopicId, TopicName};

    use super::*;

    const REST: Duration = Duration::from_secs(1);

    fn scope(ordering: Ordering) -> Scope {
        Scope {
            topic: TopicId(1),
            topic_name: TopicName::new("t").unwrap(),
            subscription: SubscriptionId(1),
            group: GroupIndex(0),
            options: SubscriptionOptions {
                ordering,
                ..SubscriptionOptions::default()
            },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn cursors_rest_after_they_were_empty_for_as_long() {
        let scope = scope(Ordering::Unordered);
        let mut paths = Paths::default();
        for _ in 0..2 {
            paths.note(&scope, true);
            assert!(!paths.cursor_rests(&scope), "they have just become empty");
            tokio::time::advance(REST).await;
            for _ in 0..2 {
                paths.note(&scope, true);
                assert!(paths.cursor_rests(&scope));
                tokio::time::advance(REST).await;
                assert!(!paths.cursor_rests(&scope), "they are looked at again");
            }
            paths.note(&scope, false);
        }
        paths.note(&scope, true);
        tokio::time::advance(REST).await;
        paths.note(&scope, true);
        paths.wake();
        assert!(!paths.cursor_rests(&scope));
    }

    #[tokio::test(start_paused = true)]
    async fn cursors_of_groups_that_want_order_never_rest() {
        let scope = scope(Ordering::PerKey);
        let mut paths = Paths::default();
        paths.note(&scope, true);
        tokio::time::advance(REST).await;
        paths.note(&scope, true);
        assert!(!paths.cursor_rests(&scope));
    }
}
