//! Many loads: a line for each run.

use super::text::{micros, numbers, plain};
use crate::report::Run;
use crate::settings::Settings;

pub(super) fn render(runs: &[Run]) -> String {
    let mut table = plain();
    table.set_header([
        "mode",
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
        "rows read",
        "contended %",
    ]);
    for run in runs {
        let Settings {
            mode,
            batch,
            payload,
            groups,
            ..
        } = run.settings;
        let in_hand = &run.latency.in_hand;
        table.add_row([
            mode.to_string(),
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
            format!("{:.2}", run.reads.rows_per_message),
            format!("{:.2}", run.conflicts.rate * 100.0),
        ]);
    }
    numbers(table)
}
