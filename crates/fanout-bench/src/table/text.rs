//! Cells and layout.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use crate::latency::Summary;

/// A table without lines, so that it can be cut and searched.
pub(crate) fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}

/// A table's text without blanks at the ends of its lines.
pub(crate) fn text(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The text of a table whose columns but the first are numbers.
pub(super) fn numbers(mut table: Table) -> String {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    text(table)
}

pub(super) fn micros(seconds: Option<f64>) -> String {
    optional(seconds, |seconds| format!("{:.1}", seconds * 1e6))
}

pub(super) fn optional(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "n/a".to_owned(), show)
}

/// p50 / p95 / p99 / max.
pub(super) fn quantiles(summary: &Summary) -> String {
    let Summary {
        p50_ms,
        p95_ms,
        p99_ms,
        max_ms,
        ..
    } = summary;
    format!("{p50_ms:.1} / {p95_ms:.1} / {p99_ms:.1} / {max_ms:.1}")
}
