//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, value_parser};
use fanout_core::CompletionMode;

use crate::rate::Rate;
use crate::stamp::STAMP_BYTES;

/// Benchmark scenarios of fanout.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Throughput and end-to-end latency of messages that every group receives and settles.
    P1(P1),
}

/// Publishers and consumers run in this one process, on the machine of the throwaway cluster.
///
/// With a rate the load is open-loop: each batch has a time at which it should be published, and
/// latency counts from that time, so that a stall shows in all messages that it delays. With
/// `--rate max` publishers go on as soon as the slowest group is within `--backlog` messages.
#[derive(Debug, Args)]
pub(crate) struct P1 {
    /// How completion is accounted for.
    #[arg(long, default_value = "reference-counting")]
    pub(crate) mode: CompletionMode,
    /// Messages per second, or `max`.
    #[arg(long, default_value = "max")]
    pub(crate) rate: Rate,
    /// Messages per publish.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=100_000))]
    pub(crate) batch: u32,
    /// Bytes per payload.
    #[arg(long, default_value_t = 2048, value_parser = value_parser!(u32).range(STAMP_BYTES as i64..=1 << 24))]
    pub(crate) payload: u32,
    /// Consumer groups.
    #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=4096))]
    pub(crate) groups: u32,
    /// Publishers, each with one batch in flight.
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) publishers: u32,
    /// Members of each group.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=1024))]
    pub(crate) workers: u32,
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
    /// Runs every combination of batch {100, 500, 2000}, payload {512, 2048, 16384} and groups
    /// {4, 8, 16}, each on an empty database.
    #[arg(long, conflicts_with_all = ["batch", "payload", "groups"])]
    pub(crate) matrix: bool,
    /// The database to run on, which is migrated [default: a throwaway cluster with durable
    /// settings, and a fresh database for each run].
    #[arg(long)]
    pub(crate) database_url: Option<String>,
    /// A setting of the throwaway cluster, as `name=value`. May be repeated.
    #[arg(long = "setting", value_parser = setting, conflicts_with = "database_url")]
    pub(crate) settings: Vec<(String, String)>,
    /// SQL to execute once the database is migrated: for trying changes of the schema.
    #[arg(long, value_name = "FILE")]
    pub(crate) setup: Option<PathBuf>,
    /// Prints one JSON document instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_setting_is_split_at_the_first_equals_sign() {
        let split = |text| setting(text).ok();
        assert_eq!(split("a = b=c"), Some(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(split("a"), None);
    }
}
