//! What a consumer has counted.

use std::sync::atomic::{AtomicU64, Ordering};

use fanout_core::{Outcome, Verdict};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// What a consumer has counted since it was made, over all its members.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct ConsumerCounters {
            $($(#[$doc])* pub $name: u64,)+
        }

        /// The counters while they count.
        #[derive(Debug, Default)]
        pub(super) struct Tally {
            $(pub(super) $name: AtomicU64,)+
        }

        impl Tally {
            pub(super) fn read(&self) -> ConsumerCounters {
                ConsumerCounters { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Messages that were delivered to it.
    delivered,
    /// Messages that were settled as handled.
    done,
    /// Handlers that returned an error or panicked.
    failed,
    /// Those of them that panicked.
    panicked,
    /// Failures after which the message is to be tried again.
    retried,
    /// Failures after which the message was given up.
    dead_lettered,
    /// Messages that were given back: unhandled, when the consumer stopped or, in a group that
    /// wants order, when it was not their turn any more; or handled out of order.
    released,
    /// Settlements of handled messages that were stale, fenced or out of order.
    refused,
    /// Those of them that were refused because another member owns the lane.
    fenced,
    /// Those of them that were refused because an earlier message of the key was not settled: its
    /// lease was lost.
    out_of_order,
    /// Deliveries that were not this consumer's any more before their handler began.
    lost,
    /// Leases that were extended.
    extended,
    /// Messages that the group was owed and will not get.
    gaps,
    /// Signs of life that were given.
    heartbeats,
    /// Calls that failed and were tried again.
    errors,
}

impl Tally {
    /// Counts what became of a settlement.
    pub(super) fn settled(&self, verdict: &Verdict, outcome: Outcome) {
        count(match (outcome, verdict) {
            (Outcome::Applied, Verdict::Release) => &self.released,
            (Outcome::Applied, _) => &self.done,
            (Outcome::Retry { .. }, _) => &self.retried,
            (Outcome::DeadLettered, _) => &self.dead_lettered,
            (_, Verdict::Release) => &self.lost,
            (Outcome::Stale | Outcome::OutOfOrder | Outcome::Fenced, _) => &self.refused,
        });
        match outcome {
            Outcome::Fenced if *verdict != Verdict::Release => count(&self.fenced),
            Outcome::OutOfOrder => count(&self.out_of_order),
            _ => {}
        }
    }
}

/// Counts one more.
pub(super) fn count(counter: &AtomicU64) {
    add(counter, 1);
}

pub(super) fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
