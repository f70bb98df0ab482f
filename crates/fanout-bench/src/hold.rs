//! Another transaction, beside the load.

use clap::ValueEnum;
use serde::Serialize;

/// What a transaction does that is held open during a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Hold {
    /// Reads, and keeps its snapshot.
    Reader,
    /// Writes a table of its own.
    Writer,
}
