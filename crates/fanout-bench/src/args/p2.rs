//! The command line of `p2`.

use clap::{Args, value_parser};

use super::{Load, PlaceArgs};
use crate::modes::Modes;
use crate::rate::Rate;

/// All groups are consumed by this one process. Every number of groups runs on an empty database of
/// its own, and in each mode.
#[derive(Debug, Args)]
pub(crate) struct P2 {
    /// How completion is accounted for: a mode, or `both`, side by side.
    #[arg(long, default_value = "both")]
    pub(crate) mode: Modes,
    /// Messages per second, or `max`.
    #[arg(long, default_value = "1000")]
    pub(crate) rate: Rate,
    /// Numbers of consumer groups.
    #[arg(long, value_delimiter = ',', default_value = "1,4,8,16,32,64,128", value_parser = value_parser!(u32).range(1..=4096))]
    pub(crate) groups: Vec<u32>,
    #[command(flatten)]
    pub(crate) load: Load,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Prints one JSON document instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}
