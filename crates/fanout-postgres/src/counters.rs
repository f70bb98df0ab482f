//! What a member counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fanout_core::{MemberCounters, Outcome};

/// [`MemberCounters`] that several calls add to at once.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    delivered: AtomicU64,
    settled: AtomicU64,
    refused: AtomicU64,
    completion_attempts: AtomicU64,
    completion_conflicts: AtomicU64,
}

impl Counters {
    pub(crate) fn delivered(&self, messages: usize) {
        self.delivered.fetch_add(messages as u64, Relaxed);
    }

    pub(crate) fn outcomes(&self, outcomes: &[Outcome]) {
        let effective = outcomes
            .iter()
            .filter(|outcome| outcome.is_effective())
            .count();
        self.settled.fetch_add(effective as u64, Relaxed);
        self.refused
            .fetch_add((outcomes.len() - effective) as u64, Relaxed);
    }

    pub(crate) fn completions(&self, attempts: usize, conflicts: usize) {
        self.completion_attempts.fetch_add(attempts as u64, Relaxed);
        self.completion_conflicts
            .fetch_add(conflicts as u64, Relaxed);
    }

    pub(crate) fn read(&self) -> MemberCounters {
        let mut counters = MemberCounters::default();
        counters.delivered = self.delivered.load(Relaxed);
        counters.settled = self.settled.load(Relaxed);
        counters.refused = self.refused.load(Relaxed);
        counters.completion_attempts = self.completion_attempts.load(Relaxed);
        counters.completion_conflicts = self.completion_conflicts.load(Relaxed);
        counters
    }
}
