//! What happened during one run.

use super::text::{micros, numbers, plain};
use crate::report::Run;

pub(super) fn tables(run: &Run) -> String {
    let mut table = plain();
    table.set_header([
        run.settings.mode.as_str(),
        "inserted",
        "updated",
        "HOT %",
        "deleted",
        "dead",
        "vacuums",
        "seq scans",
        "idx scans",
        "rows read",
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
            activity.rows_read.to_string(),
            megabytes(activity.table_bytes),
            megabytes(activity.index_bytes),
        ]);
    }
    numbers(table)
}

/// Shows whether a run keeps its pace.
pub(super) fn seconds(run: &Run) -> String {
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
    let (mode, warmup) = (run.settings.mode, run.settings.warmup_seconds);
    format!(
        "{mode}: each second, {warmup} of warm-up first\n  settled by all: {}\n  database CPU us/message: {}",
        settled.join(" "),
        cpu.join(" ")
    )
}
