//! The command line of `x1`.

use clap::{Args, value_parser};
use fanout_core::{DEFAULT_LANES, MAX_LANES};
use serde::Serialize;

use super::PlaceArgs;
use crate::rate::Rate;
use crate::stamp::STAMP_BYTES;

/// Three topics, one after the other, under the same load: one that counts references, one that is read
/// by cursors, and one whose mode changes back and forth. The first two are the control. At each
/// change, and as often in the control, a transaction that has published is held open across it. Every
/// other group wants order per key.
#[derive(Debug, Args)]
pub(crate) struct X1 {
    #[command(flatten)]
    pub(crate) course: X1Settings,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Prints one JSON document instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a run of it does.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct X1Settings {
    /// Changes of the mode in each direction.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) changes: u32,
    /// Milliseconds between two changes.
    #[arg(long, default_value_t = 500, value_parser = value_parser!(u32).range(10..=600_000))]
    pub(crate) interval_ms: u32,
    /// Consumer groups, of one member each.
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=64))]
    pub(crate) groups: u32,
    /// Messages per second.
    #[arg(long, default_value = "5000")]
    pub(crate) rate: Rate,
    /// Messages per publish.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// Bytes per payload.
    #[arg(long, default_value_t = 2048, value_parser = value_parser!(u32).range(STAMP_BYTES as i64..=1 << 24))]
    pub(crate) payload: u32,
    /// Publishers, each with one batch in flight and keys of its own.
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(1..=64))]
    pub(crate) publishers: u32,
    /// Keys of each publisher.
    #[arg(long, default_value_t = 500, value_parser = value_parser!(u32).range(1..))]
    pub(crate) keys: u32,
    /// Lanes of the topics.
    #[arg(long, default_value_t = DEFAULT_LANES, value_parser = value_parser!(u16).range(1..=i64::from(MAX_LANES)))]
    pub(crate) lanes: u16,
    /// Most messages per fetch.
    #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) fetch: u32,
    /// Seconds of load before the first change, which are not measured.
    #[arg(long, default_value_t = 2)]
    pub(crate) warmup: u32,
}
