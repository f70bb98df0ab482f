//! What is published, and who consumes it.

use clap::{Args, value_parser};
use fanout_core::{DEFAULT_LANES, MAX_LANES};

use crate::hold::Hold;
use crate::stamp::STAMP_BYTES;

/// What the scenarios of throughput and cost have in common.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Messages per publish.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// Bytes per payload.
    #[arg(long, default_value_t = 2048, value_parser = value_parser!(u32).range(STAMP_BYTES as i64..=1 << 24))]
    pub(crate) payload: u32,
    /// Publishers, each with one batch in flight.
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) publishers: u32,
    /// Members that each process has in each group.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) workers: u32,
    /// Engines, each with a pool of its own, as so many processes would have. All consume all
    /// groups; publishers are spread over them.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    pub(crate) processes: u32,
    /// Most connections of each process [default: one for each publisher and member and one more,
    /// at most 32].
    #[arg(long, value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) connections: Option<u32>,
    /// Lanes of the topic.
    #[arg(long, default_value_t = DEFAULT_LANES, value_parser = value_parser!(u16).range(1..=i64::from(MAX_LANES)))]
    pub(crate) lanes: u16,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..))]
    pub(crate) seconds: u32,
    /// Seconds of load before them; their latency is told apart.
    #[arg(long, default_value_t = 2)]
    pub(crate) warmup: u32,
    /// Most messages per fetch [default: as many as are published at once by all publishers].
    #[arg(long, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) fetch: Option<u32>,
    /// With `--rate max`, how far publishers may be ahead of the slowest group, in messages
    /// [default: 4 fetches, and at least 4 batches for each publisher].
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    pub(crate) backlog: Option<u32>,
    /// The longest pause of a member after fetches that found nothing, in milliseconds. The first
    /// is 1 ms, and it doubles.
    #[arg(long, default_value_t = 5, value_name = "MS", value_parser = value_parser!(u32).range(1..=10_000))]
    pub(crate) pause: u32,
    /// Seconds between two rounds of maintenance; 0 for none.
    #[arg(long, default_value_t = 1, value_name = "SECONDS")]
    pub(crate) maintenance: u32,
    /// Holds another transaction open, from before the groups subscribe until all is settled.
    #[arg(long)]
    pub(crate) hold: Option<Hold>,
}
