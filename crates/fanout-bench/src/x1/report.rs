//! What is told of X1.

use serde::Serialize;

use super::course::Plan;
use super::ledger::Sum;
use super::lock_log::LockWaits;
use crate::args::X1Settings;
use crate::failure::{Failure, Result};
use crate::latency::{Distribution, Summary};
use crate::output::Told;
use crate::report::Environment;
use crate::table::{environment, plain, text};

/// All of one invocation.
#[derive(Debug, Serialize)]
pub(super) struct X1Report {
    pub(super) scenario: &'static str,
    pub(super) environment: Environment,
    pub(super) settings: X1Settings,
    pub(super) phases: Vec<Phase>,
}

/// One topic.
#[derive(Debug, Serialize)]
pub(super) struct Phase {
    /// What its mode was.
    mode: String,
    control: bool,
    /// Changes of the mode, and how long each took.
    changes: Summary,
    #[serde(flatten)]
    sum: Sum,
    /// None where the server's log cannot be read.
    lock_waits: Option<LockWaits>,
    /// Until messages were in hand, from when they were due.
    in_hand: Summary,
    /// From the end of the load until all was settled.
    drain_seconds: f64,
}

impl Phase {
    pub(super) fn new(
        plan: Plan,
        sum: Sum,
        lock_waits: Option<LockWaits>,
        latencies: &Distribution,
        changes: &Distribution,
        drain_seconds: f64,
    ) -> Self {
        let (mode, control) = match plan {
            Plan::Stay(mode) => (mode.to_string(), true),
            Plan::Change => ("changing".to_owned(), false),
        };
        Self {
            mode,
            control,
            changes: changes.summary(),
            sum,
            lock_waits,
            in_hand: latencies.summary(),
            drain_seconds,
        }
    }
}

impl X1Report {
    /// Fails when a promise was broken in any phase.
    pub(super) fn check(&self) -> Result<()> {
        let total = |count: fn(&Sum) -> u64| self.phases.iter().map(|p| count(&p.sum)).sum();
        let lost: u64 = total(|sum| sum.lost);
        let settled_twice: u64 = total(|sum| sum.settled_twice);
        let never_published: u64 = total(|sum| sum.never_published);
        if lost + settled_twice + never_published > 0 {
            return Err(Failure::Broken {
                lost,
                settled_twice,
                never_published,
            });
        }
        match total(|sum| sum.inversions) {
            0 => {}
            inversions => return Err(Failure::Inverted { inversions }),
        }
        let waits = self.phases.iter().filter_map(|phase| phase.lock_waits);
        match waits.map(|waits| waits.on_topics).sum() {
            0 => Ok(()),
            waits => Err(Failure::Waited { waits }),
        }
    }
}

impl Told for X1Report {
    fn text(&self) -> String {
        let settings = &self.settings;
        let mut load = plain();
        load.add_row([
            "load".to_owned(),
            format!(
                "{} messages/s of {} bytes in batches of {}, {} publishers, {} groups, {} messages a fetch",
                settings.rate,
                settings.payload,
                settings.batch,
                settings.publishers,
                settings.groups,
                settings.fetch
            ),
        ]);
        load.add_row([
            "changes".to_owned(),
            format!(
                "{} in each direction, every {} ms, each across an open publisher",
                settings.changes, settings.interval_ms
            ),
        ]);
        let mut table = plain();
        let names = self.phases.iter().map(|phase| {
            let control = if phase.control { "control, " } else { "" };
            format!("{control}{}", phase.mode)
        });
        table.add_row([String::new()].into_iter().chain(names));
        let mut row = |name: &str, value: &dyn Fn(&Phase) -> String| {
            let values = self.phases.iter().map(value);
            table.add_row([name.to_owned()].into_iter().chain(values));
        };
        row("published", &|p| p.sum.published.to_string());
        row("delivered", &|p| p.sum.delivered.to_string());
        row("delivered again", &|p| p.sum.redelivered.to_string());
        row("settlements", &|p| p.sum.settled.to_string());
        row("settlements refused", &|p| p.sum.refused.to_string());
        row("lost", &|p| p.sum.lost.to_string());
        row("settled twice", &|p| p.sum.settled_twice.to_string());
        row("never published", &|p| p.sum.never_published.to_string());
        row("order inversions", &|p| p.sum.inversions.to_string());
        let waits = |count: fn(LockWaits) -> u64| {
            move |p: &Phase| {
                p.lock_waits
                    .map_or_else(|| "–".to_owned(), |waits| count(waits).to_string())
            }
        };
        row("lock waits of 10 ms", &waits(|waits| waits.all));
        row("of them for a topic's row", &waits(|waits| waits.on_topics));
        let ms = |value: f64| format!("{value:.1}");
        row("in hand, p50, ms", &|p| ms(p.in_hand.p50_ms));
        row("in hand, p99, ms", &|p| ms(p.in_hand.p99_ms));
        row("in hand, p99.9, ms", &|p| ms(p.in_hand.p999_ms));
        row("in hand, max, ms", &|p| ms(p.in_hand.max_ms));
        row("changes", &|p| p.changes.count.to_string());
        row("a change, p50, ms", &|p| ms(p.changes.p50_ms));
        row("a change, max, ms", &|p| ms(p.changes.max_ms));
        row("drained in, s", &|p| format!("{:.2}", p.drain_seconds));
        format!(
            "{}\n\n{}\n\n{}",
            environment(&self.environment),
            text(load),
            text(table)
        )
    }
}
