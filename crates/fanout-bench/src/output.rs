//! Printing.

use std::io::{self, Write};

use crate::failure::Result;
use crate::report::Report;
use crate::settings::Settings;
use crate::table;

/// Prints a report to standard output.
pub(crate) fn print(report: &Report, json: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string_pretty(report)?
    } else {
        table::render(report)
    };
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Tells on standard error which of many runs begins.
pub(crate) fn progress(number: usize, of: usize, settings: &Settings) {
    let Settings {
        batch,
        payload,
        groups,
        ..
    } = settings;
    // Nobody needs to know for the result.
    let _ = writeln!(
        io::stderr(),
        "run {number} of {of}: batch {batch}, payload {payload}, groups {groups}"
    );
}
