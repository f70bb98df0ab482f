//! One load in full: a column for each mode.

use super::text::{micros, optional, plain, quantiles, text};
use crate::report::Run;

/// A line's name, and its cell for one run.
type Line = (&'static str, fn(&Run) -> String);

const LINES: &[Line] = &[
    ("rate", |run| format!("{} messages/s", run.settings.rate)),
    ("load", |run| {
        let settings = &run.settings;
        format!(
            "{} publishers x {} messages of {} bytes",
            settings.publishers, settings.batch, settings.payload
        )
    }),
    ("groups", |run| {
        let settings = &run.settings;
        format!(
            "{} x {} members, {} messages a fetch",
            settings.groups,
            settings.workers * settings.processes,
            settings.fetch
        )
    }),
    ("processes", |run| {
        let settings = &run.settings;
        format!(
            "{} x {} connections",
            settings.processes, settings.connections
        )
    }),
    ("lanes", |run| run.settings.lanes.to_string()),
    ("held open", |run| match run.settings.hold {
        Some(hold) => format!("{hold:?}").to_lowercase(),
        None => "nothing".to_owned(),
    }),
    ("backlog limit", |run| match run.settings.backlog {
        Some(backlog) => format!("{backlog} messages"),
        None => "none".to_owned(),
    }),
    ("published, messages/s", |run| {
        format!("{:.0}", run.throughput.published_per_second)
    }),
    ("settled by all, messages/s", |run| {
        format!("{:.0}", run.throughput.settled_per_second)
    }),
    ("backlog at end, messages", |run| {
        run.throughput.backlog_at_end.to_string()
    }),
    ("in hand, p50/p95/p99/max ms", |run| {
        quantiles(&run.latency.in_hand)
    }),
    ("settled, ms", |run| quantiles(&run.latency.settled)),
    ("warm-up, in hand, ms", |run| {
        quantiles(&run.latency.warmup_in_hand)
    }),
    ("warm-up, settled, ms", |run| {
        quantiles(&run.latency.warmup_settled)
    }),
    ("database CPU, us/message", |run| {
        micros(run.cost.database_cpu_seconds)
    }),
    ("client CPU, us/message", |run| {
        micros(run.cost.client_cpu_seconds)
    }),
    ("other CPU, cores", |run| {
        optional(run.cost.other_cores, |cores| format!("{cores:.2}"))
    }),
    ("WAL, bytes/message", |run| {
        format!("{:.0}", run.cost.wal_bytes)
    }),
    ("WAL records/message", |run| {
        format!("{:.2}", run.cost.wal_records)
    }),
    ("full-page images/message", |run| {
        format!("{:.3}", run.cost.full_page_images)
    }),
    ("rows written/message", |run| {
        format!("{:.2}", run.cost.rows_written)
    }),
    ("rows read/message", |run| {
        format!("{:.2}", run.reads.rows_per_message)
    }),
    ("rows of the log read/message", |run| {
        format!("{:.2}", run.reads.log_rows_per_message)
    }),
    ("rows of the log read/delivery", |run| {
        format!("{:.3}", run.reads.log_rows_per_delivery)
    }),
    ("statements/message", |run| {
        optional(run.cost.statements, |statements| format!("{statements:.4}"))
    }),
    ("transactions/message", |run| {
        format!("{:.4}", run.cost.transactions)
    }),
    ("transactions/s", |run| {
        format!("{:.0}", run.cost.transactions_per_second)
    }),
    ("completions contended", |run| {
        format!(
            "{:.2} % of {}",
            run.conflicts.rate * 100.0,
            run.conflicts.attempts
        )
    }),
    ("maintenance", |run| {
        format!(
            "{} rounds, {} failed",
            run.maintenance.rounds, run.maintenance.failures
        )
    }),
    ("checked: published", |run| run.totals.published.to_string()),
    ("checked: delivered and settled", |run| {
        run.totals.settled.to_string()
    }),
    ("drained in, s", |run| {
        format!("{:.2}", run.totals.drain_seconds)
    }),
];

pub(super) fn render(runs: &[Run]) -> String {
    let mut table = plain();
    let modes = runs.iter().map(|run| run.settings.mode.to_string());
    table.set_header(std::iter::once("mode".to_owned()).chain(modes));
    for (name, cell) in LINES {
        table.add_row(std::iter::once((*name).to_owned()).chain(runs.iter().map(cell)));
    }
    text(table)
}
