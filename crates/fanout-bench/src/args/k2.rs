//! The command line of `k2`.

use clap::{Args, value_parser};
use fanout_core::{CompletionMode, MAX_LANES};
use serde::Serialize;

use super::PlaceArgs;
use crate::rate::Rate;

/// Members share one group, each with an engine and a pool of its own, as so many processes would
/// have. Again and again one of them, chosen at random, crashes in a commit: either the commit is
/// cut off at a random moment, or the member hangs with messages in hand until its leases have run
/// out, and commits then. It does not leave the group, and another takes its place.
#[derive(Debug, Args)]
pub(crate) struct K2 {
    #[command(flatten)]
    pub(crate) course: K2Settings,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Prints one JSON document instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a run of it does.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct K2Settings {
    /// How completion is accounted for.
    #[arg(long, default_value = "offset-watermark")]
    pub(crate) mode: CompletionMode,
    /// Members of the group.
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=64))]
    pub(crate) members: u32,
    /// Lanes of the topic.
    #[arg(long, default_value_t = 16, value_parser = value_parser!(u16).range(1..=i64::from(MAX_LANES)))]
    pub(crate) lanes: u16,
    /// Messages per second, or `max`.
    #[arg(long, default_value = "2000")]
    pub(crate) rate: Rate,
    /// Messages per publish.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// Bytes per payload.
    #[arg(long, default_value_t = 256, value_parser = value_parser!(u32).range(..=1 << 24))]
    pub(crate) payload: u32,
    /// Seconds of load.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
    /// Most messages per fetch.
    #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) fetch: u32,
    /// Milliseconds that a member may hold a message.
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(10..=60_000))]
    pub(crate) lease_ms: u32,
    /// Milliseconds between two crashes, on average.
    #[arg(long, default_value_t = 300, value_parser = value_parser!(u32).range(10..))]
    pub(crate) crash_ms: u32,
    /// Percent of the crashes in which the member hangs and commits late.
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(..=100))]
    pub(crate) hangs: u32,
    /// What the choices of members and moments follow from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}
