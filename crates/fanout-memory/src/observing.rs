//! What can be read of a topic.

use std::collections::BTreeSet;

use fanout_core::{
    CompletionMode, GroupRemaining, GroupStats, MessageAccounting, MessageId, Ordering,
    Subscription, Timestamp, Watermark,
};

use crate::dead_letters::DeadLetters;
use crate::path::Path;
use crate::reading::Reading;
use crate::subscription_state::SubscriptionState;
use crate::topic_state::TopicState;

impl TopicState {
    /// Every subscription, by group and age.
    pub(crate) fn all(&self) -> Vec<Subscription> {
        let mut all: Vec<_> = self
            .subscriptions
            .values()
            .map(|state| state.subscription.clone())
            .collect();
        all.sort_by(|a, b| (&a.group, a.id).cmp(&(&b.group, b.id)));
        all
    }

    pub(crate) fn stats(&self, dead_letters: &DeadLetters, now: Timestamp) -> Vec<GroupStats> {
        self.live()
            .map(|state| self.stats_of(state, dead_letters, now))
            .collect()
    }

    fn stats_of(
        &self,
        state: &SubscriptionState,
        dead_letters: &DeadLetters,
        now: Timestamp,
    ) -> GroupStats {
        let (subscription, ledger) = (&state.subscription, &state.ledger);
        let lowest = ledger.lowest();
        let (in_flight, delayed) = ledger.held_back(now);
        let (id, name) = (self.topic.id, &self.topic.name);
        GroupStats {
            group: subscription.group.clone(),
            status: subscription.status,
            pending: ledger.pending(),
            in_flight,
            delayed,
            lowest_unsettled: lowest,
            oldest_pending_at: lowest.and_then(|id| self.log.written_at(id)),
            dead_letters: dead_letters.count(id, name, &subscription.group),
            read_at: now,
        }
    }

    /// What every live group owes of the messages that were published under a mode.
    pub(crate) fn remaining(&self, mode: CompletionMode) -> Vec<GroupRemaining> {
        let path = Path::of(
            Ordering::Unordered,
            mode == CompletionMode::ReferenceCounting,
        );
        self.live()
            .map(|state| GroupRemaining {
                group: state.subscription.group.clone(),
                status: state.subscription.status,
                messages: state.ledger.on_first_path(path),
            })
            .collect()
    }

    /// Up to where every message has committed or rolled back, and is settled for every group that
    /// counts.
    pub(crate) fn watermark(&self, now: Timestamp) -> Watermark {
        let before = |id: MessageId| MessageId(id.0 - 1);
        let open = self.undecided.first().copied();
        let decided = before(open.unwrap_or(MessageId(self.next_id)));
        let lowest = self
            .counting()
            .filter_map(|state| state.ledger.lowest())
            .min();
        Watermark {
            id: lowest.map_or(decided, |lowest| decided.min(before(lowest))),
            decided,
            updated_at: now,
        }
    }

    pub(crate) fn accounting(&self, after: MessageId, limit: usize) -> Vec<MessageAccounting> {
        let names = |readings: &BTreeSet<Reading>| {
            readings
                .iter()
                .filter_map(|reading| self.reader(*reading))
                .map(|state| state.subscription.group.clone())
                .collect::<BTreeSet<_>>()
        };
        self.log
            .above(after)
            .filter(|(_, stored)| stored.entry.tracked)
            .take(limit)
            .map(|(id, stored)| MessageAccounting {
                id,
                required: names(&stored.required),
                completed: names(&stored.completed),
                completed_at: stored.completed_at,
            })
            .collect()
    }
}
