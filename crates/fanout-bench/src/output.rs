//! Printing.

use std::io::{self, Write};

use serde::Serialize;

use crate::failure::Result;
use crate::settings::Settings;

/// A report that can be told as text.
pub(crate) trait Told: Serialize {
    fn text(&self) -> String;
}

/// Prints a report to standard output.
pub(crate) fn print(report: &impl Told, json: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string_pretty(report)?
    } else {
        report.text()
    };
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Tells on standard error which of many runs begins.
pub(crate) fn progress(number: usize, of: usize, settings: &Settings) {
    let Settings {
        mode,
        batch,
        payload,
        groups,
        ..
    } = settings;
    // Nobody needs to know for the result.
    let _ = writeln!(
        io::stderr(),
        "run {number} of {of}: {mode}, batch {batch}, payload {payload}, groups {groups}"
    );
}
