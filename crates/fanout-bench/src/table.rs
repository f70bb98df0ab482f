//! A report as text.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::latency::Summary;
use crate::report::{Environment, Report, Run};
use crate::settings::Settings;

/// All of a report: in full for one run, a line each for many.
pub(crate) fn render(report: &Report) -> String {
    let mut parts = vec![environment(&report.environment)];
    match &report.runs[..] {
        [run] => parts.extend([run_in_full(run), latencies(run), tables(run), seconds(run)]),
        runs => parts.push(overview(runs)),
    }
    parts.join("\n\n")
}

fn environment(environment: &Environment) -> String {
    let mut table = plain();
    table.add_row(["fanout", environment.fanout_version]);
    table.add_row(["place", environment.place]);
    table.add_row(["cores", &environment.cores.to_string()]);
    table.add_row([
        "load before",
        &optional(environment.load, |load| format!("{load:.2}")),
    ]);
    for (name, value) in &environment.server {
        table.add_row([name, value]);
    }
    text(table)
}

fn run_in_full(run: &Run) -> String {
    let Settings {
        rate,
        batch,
        payload,
        groups,
        publishers,
        workers,
        fetch,
        ..
    } = run.settings;
    let cost = &run.cost;
    let mut table = plain();
    let mut row = |name: &str, value: String| {
        table.add_row([name.to_owned(), value]);
    };
    row("mode", run.settings.mode.to_string());
    row("rate", format!("{rate} messages/s"));
    row(
        "load",
        format!("{publishers} publishers x {batch} messages of {payload} bytes"),
    );
    row(
        "groups",
        format!("{groups} x {workers} members, {fetch} messages a fetch"),
    );
    if let Some(backlog) = run.settings.backlog {
        row("backlog limit", format!("{backlog} messages"));
    }
    row(
        "published",
        format!("{:.0} messages/s", run.throughput.published_per_second),
    );
    row(
        "settled by all",
        format!("{:.0} messages/s", run.throughput.settled_per_second),
    );
    row(
        "backlog at end",
        format!("{} messages", run.throughput.backlog_at_end),
    );
    row(
        "database CPU",
        format!("{} us/message", micros(cost.database_cpu_seconds)),
    );
    row(
        "client CPU",
        format!("{} us/message", micros(cost.client_cpu_seconds)),
    );
    row(
        "other CPU",
        optional(cost.other_cores, |cores| format!("{cores:.2} cores")),
    );
    row("WAL", format!("{:.0} bytes/message", cost.wal_bytes));
    row("WAL records", format!("{:.2}/message", cost.wal_records));
    row(
        "full-page images",
        format!("{:.3}/message", cost.full_page_images),
    );
    row("rows written", format!("{:.2}/message", cost.rows_written));
    row(
        "transactions",
        format!("{:.0}/s", cost.transactions_per_second),
    );
    row(
        "record conflicts",
        format!(
            "{:.2} % of {}",
            run.conflicts.rate * 100.0,
            run.conflicts.attempts
        ),
    );
    row(
        "checked",
        format!(
            "{} published, {} delivered and settled, drained in {:.2} s",
            run.totals.published, run.totals.settled, run.totals.drain_seconds
        ),
    );
    text(table)
}

fn latencies(run: &Run) -> String {
    let mut table = plain();
    table.set_header(["latency (ms)", "p50", "p95", "p99", "max", "deliveries"]);
    let mut row = |name: &str, summary: &Summary| {
        let ms = |value: f64| format!("{value:.1}");
        table.add_row([
            name.to_owned(),
            ms(summary.p50_ms),
            ms(summary.p95_ms),
            ms(summary.p99_ms),
            ms(summary.max_ms),
            summary.count.to_string(),
        ]);
    };
    row("in hand", &run.latency.in_hand);
    row("settled", &run.latency.settled);
    row("warm-up, in hand", &run.latency.warmup_in_hand);
    row("warm-up, settled", &run.latency.warmup_settled);
    text(table)
}

fn tables(run: &Run) -> String {
    let mut table = plain();
    table.set_header([
        "table",
        "inserted",
        "updated",
        "HOT %",
        "deleted",
        "dead",
        "vacuums",
        "seq scans",
        "idx scans",
        "table MB",
        "index MB",
    ]);
    for activity in &run.tables {
        let hot = 100.0 * activity.hot_updated as f64 / activity.updated.max(1) as f64;
        let megabytes = |bytes: i64| format!("{:.1}", bytes as f64 / 1e6);
        table.add_row([
            activity.table.clone(),
            activity.inserted.to_string(),
            activity.updated.to_string(),
            format!("{hot:.1}"),
            activity.deleted.to_string(),
            activity.dead.to_string(),
            activity.vacuums.to_string(),
            activity.sequential_scans.to_string(),
            activity.index_scans.to_string(),
            megabytes(activity.table_bytes),
            megabytes(activity.index_bytes),
        ]);
    }
    text(table)
}

/// Shows whether a run keeps its pace.
fn seconds(run: &Run) -> String {
    let settled: Vec<_> = run
        .seconds
        .iter()
        .map(|second| second.settled.to_string())
        .collect();
    let cpu: Vec<_> = run
        .seconds
        .iter()
        .map(|second| {
            let messages = second.settled.max(1) as f64;
            micros(
                second
                    .database_cpu_seconds
                    .map(|seconds| seconds / messages),
            )
        })
        .collect();
    let warmup = run.settings.warmup_seconds;
    format!(
        "each second, {warmup} of warm-up first\n  settled by all: {}\n  database CPU us/message: {}",
        settled.join(" "),
        cpu.join(" ")
    )
}

fn overview(runs: &[Run]) -> String {
    let mut table = plain();
    table.set_header([
        "batch",
        "payload",
        "groups",
        "settled/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "settled p95",
        "db us",
        "client us",
        "WAL bytes",
        "conflicts %",
    ]);
    for run in runs {
        let Settings {
            batch,
            payload,
            groups,
            ..
        } = run.settings;
        let in_hand = &run.latency.in_hand;
        table.add_row([
            batch.to_string(),
            payload.to_string(),
            groups.to_string(),
            format!("{:.0}", run.throughput.settled_per_second),
            format!("{:.1}", in_hand.p50_ms),
            format!("{:.1}", in_hand.p95_ms),
            format!("{:.1}", in_hand.p99_ms),
            format!("{:.1}", in_hand.max_ms),
            format!("{:.1}", run.latency.settled.p95_ms),
            micros(run.cost.database_cpu_seconds),
            micros(run.cost.client_cpu_seconds),
            format!("{:.0}", run.cost.wal_bytes),
            format!("{:.2}", run.conflicts.rate * 100.0),
        ]);
    }
    text(table)
}

fn micros(seconds: Option<f64>) -> String {
    optional(seconds, |seconds| format!("{:.1}", seconds * 1e6))
}

fn optional(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "n/a".to_owned(), show)
}

/// A table without lines, so that it can be cut and searched.
fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}

/// A table's text without blanks at the ends of its lines.
fn text(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}
