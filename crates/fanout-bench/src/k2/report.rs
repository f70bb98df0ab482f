//! What is told of K2.

use serde::Serialize;

use super::fate::Fate;
use super::ledger::Sum;
use super::process::Life;
use crate::args::K2Settings;
use crate::failure::{Failure, Result};
use crate::output::Told;
use crate::report::{Conflicts, Environment};
use crate::table::{environment, plain, text};

/// All of one invocation.
#[derive(Debug, Serialize)]
pub(super) struct K2Report {
    pub(super) scenario: &'static str,
    pub(super) environment: Environment,
    pub(super) settings: K2Settings,
    pub(super) outcome: Outcome,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Outcome {
    published: u64,
    delivered: u64,
    redelivered: u64,
    /// Messages that members had in hand when they crashed: more are not to be redelivered.
    in_hand_at_crashes: u64,
    /// Settlements that took effect for sure; those of commits that were cut off may have.
    settled: u64,
    fenced: u64,
    stale: u64,
    crashes: Crashes,
    /// Of cursors, or of completion records.
    conflicts: Conflicts,
    lost: u64,
    settled_twice: u64,
    never_published: u64,
    /// From the end of the load until nothing was owed.
    pub(super) drain_seconds: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Crashes {
    /// While a commit was under way.
    cut_off: u64,
    /// After a commit that came late.
    hung: u64,
}

impl Outcome {
    /// Adds what one process did.
    pub(super) fn add(&mut self, life: &Life) {
        let counters = life.counters;
        self.conflicts
            .add(counters.completion_attempts, counters.completion_conflicts);
        if let Some(crash) = life.crash {
            self.in_hand_at_crashes += crash.in_hand as u64;
            match crash.fate {
                Fate::CutOff(_) => self.crashes.cut_off += 1,
                Fate::Hang(_) => self.crashes.hung += 1,
            }
        }
    }

    pub(super) fn conclude(&mut self, sum: &Sum) {
        self.published = sum.published;
        self.delivered = sum.delivered;
        self.redelivered = sum.redelivered;
        self.settled = sum.applied;
        self.fenced = sum.fenced;
        self.stale = sum.stale;
        self.lost = sum.lost;
        self.settled_twice = sum.settled_twice;
        self.never_published = sum.never_published;
    }

    /// Fails when a promise was broken.
    pub(super) fn check(&self) -> Result<()> {
        let Self {
            lost,
            settled_twice,
            never_published,
            ..
        } = *self;
        if lost + settled_twice + never_published == 0 {
            return Ok(());
        }
        Err(Failure::Broken {
            lost,
            settled_twice,
            never_published,
        })
    }
}

impl Told for K2Report {
    fn text(&self) -> String {
        let (settings, outcome) = (&self.settings, &self.outcome);
        let mut table = plain();
        let mut row = |name: &str, value: String| {
            table.add_row([name.to_owned(), value]);
        };
        row("mode", settings.mode.to_string());
        row(
            "group",
            format!(
                "{} members, {} lanes, leases of {} ms, {} messages a fetch",
                settings.members, settings.lanes, settings.lease_ms, settings.fetch
            ),
        );
        row(
            "load",
            format!(
                "{} messages/s for {} s, in batches of {}",
                settings.rate, settings.seconds, settings.batch
            ),
        );
        let Crashes { cut_off, hung } = outcome.crashes;
        row(
            "crashes",
            format!("{cut_off} in a commit, {hung} after a late one"),
        );
        let Conflicts {
            attempts,
            conflicts,
            rate,
        } = outcome.conflicts;
        row("commits attempted", attempts.to_string());
        row(
            "of them in conflict",
            format!("{conflicts} ({:.2} %)", rate * 100.0),
        );
        row("published", outcome.published.to_string());
        row("delivered", outcome.delivered.to_string());
        row(
            "redelivered",
            format!(
                "{} ({} in hand at crashes)",
                outcome.redelivered, outcome.in_hand_at_crashes
            ),
        );
        row("settlements", outcome.settled.to_string());
        row("fenced", outcome.fenced.to_string());
        row("stale", outcome.stale.to_string());
        row("lost", outcome.lost.to_string());
        row("settled twice", outcome.settled_twice.to_string());
        row("never published", outcome.never_published.to_string());
        row("drained in", format!("{:.2} s", outcome.drain_seconds));
        format!("{}\n\n{}", environment(&self.environment), text(table))
    }
}
