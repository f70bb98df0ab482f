//! The command line of `p1`.

use clap::{Args, value_parser};

use super::{Load, PlaceArgs};
use crate::modes::Modes;
use crate::rate::Rate;

/// Publishers and consumers run in this one process, on the machine of the throwaway cluster.
///
/// With a rate the load is open-loop: each batch has a time at which it should be published, and
/// latency counts from that time, so that a stall shows in all messages that it delays. With
/// `--rate max` publishers go on as soon as the slowest group is within `--backlog` messages.
#[derive(Debug, Args)]
pub(crate) struct P1 {
    /// How completion is accounted for: a mode, or `both`, one after the other.
    #[arg(long, default_value = "both")]
    pub(crate) mode: Modes,
    /// Messages per second, or `max`.
    #[arg(long, default_value = "max")]
    pub(crate) rate: Rate,
    /// Consumer groups.
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=4096))]
    pub(crate) groups: u32,
    #[command(flatten)]
    pub(crate) load: Load,
    /// Runs every combination of batch {100, 500, 2000}, payload {512, 2048, 16384} and groups
    /// {4, 8, 16}, each on an empty database.
    #[arg(long, conflicts_with_all = ["batch", "payload", "groups"])]
    pub(crate) matrix: bool,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Prints one JSON document instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}
