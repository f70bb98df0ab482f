//! Numbers of groups, with the modes side by side.

use fanout_core::CompletionMode;

use super::text::{micros, numbers, optional, plain};
use crate::report::Run;

/// What is told of a run: a name, and the cell.
type Metric = (&'static str, fn(&Run) -> String);

const COST: &[Metric] = &[
    ("db us", |run| micros(run.cost.database_cpu_seconds)),
    ("client us", |run| micros(run.cost.client_cpu_seconds)),
    ("WAL bytes", |run| format!("{:.0}", run.cost.wal_bytes)),
    ("rows written", |run| {
        format!("{:.2}", run.cost.rows_written)
    }),
];

const WORK: &[Metric] = &[
    ("statements", |run| {
        optional(run.cost.statements, |statements| format!("{statements:.3}"))
    }),
    ("commits", |run| format!("{:.3}", run.cost.transactions)),
    ("rows read", |run| {
        format!("{:.2}", run.reads.rows_per_message)
    }),
    ("of the log", |run| {
        format!("{:.2}", run.reads.log_rows_per_message)
    }),
    ("per delivery", |run| {
        format!("{:.3}", run.reads.log_rows_per_delivery)
    }),
];

const LATENCY: &[Metric] = &[
    ("p50 ms", |run| format!("{:.1}", run.latency.in_hand.p50_ms)),
    ("p95 ms", |run| format!("{:.1}", run.latency.in_hand.p95_ms)),
    ("p99 ms", |run| format!("{:.1}", run.latency.in_hand.p99_ms)),
    ("settled/s", |run| {
        format!("{:.0}", run.throughput.settled_per_second)
    }),
    ("backlog", |run| run.throughput.backlog_at_end.to_string()),
];

/// The growth that is told: from so many groups to so many.
const GROWTH: (u32, u32) = (4, 64);

pub(super) fn render(runs: &[Run]) -> Vec<String> {
    let modes: Vec<_> = CompletionMode::ALL
        .iter()
        .copied()
        .filter(|mode| runs.iter().any(|run| run.settings.mode == *mode))
        .collect();
    let mut parts = vec![
        legend(&modes),
        table("cost per message", COST, &modes, runs),
        table("work per message", WORK, &modes, runs),
        table("latency, in hand", LATENCY, &modes, runs),
    ];
    parts.extend(modes.iter().filter_map(|mode| growth(*mode, runs)));
    parts
}

fn legend(modes: &[CompletionMode]) -> String {
    let names: Vec<_> = modes
        .iter()
        .map(|mode| format!("{}: {mode}", short(*mode)))
        .collect();
    names.join("\n")
}

fn table(title: &str, metrics: &[Metric], modes: &[CompletionMode], runs: &[Run]) -> String {
    let columns = || {
        metrics
            .iter()
            .flat_map(|metric| modes.iter().map(move |mode| (metric, *mode)))
    };
    let mut table = plain();
    let names = columns().map(|((name, _), mode)| format!("{name} {}", short(mode)));
    table.set_header(std::iter::once("groups".to_owned()).chain(names));
    let mut groups: Vec<_> = runs.iter().map(|run| run.settings.groups).collect();
    groups.dedup();
    for groups in groups {
        let cells = columns()
            .map(|((_, cell), mode)| find(runs, groups, mode).map_or_else(String::new, cell));
        table.add_row(std::iter::once(groups.to_string()).chain(cells));
    }
    format!("{title}\n{}", numbers(table))
}

fn growth(mode: CompletionMode, runs: &[Run]) -> Option<String> {
    let (few, many) = GROWTH;
    let cpu = |groups| find(runs, groups, mode)?.cost.database_cpu_seconds;
    let percent = 100.0 * (cpu(many)? / cpu(few)? - 1.0);
    Some(format!(
        "{mode}: database CPU per message, from {few} to {many} groups: {percent:+.1} %"
    ))
}

fn find(runs: &[Run], groups: u32, mode: CompletionMode) -> Option<&Run> {
    runs.iter()
        .find(|run| run.settings.groups == groups && run.settings.mode == mode)
}

fn short(mode: CompletionMode) -> &'static str {
    match mode {
        CompletionMode::ReferenceCounting => "rc",
        CompletionMode::OffsetWatermark => "ow",
    }
}
