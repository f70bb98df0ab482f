use clap::Args;

/// Runs on the embedded memory engine unless it is told otherwise. On a given database it makes a
/// topic of its own and deletes it afterwards; its dead letters stay.
#[derive(Clone, Debug, Args)]
pub(crate) struct Demo {
    /// How many messages to commit.
    #[arg(long, value_name = "N", default_value_t = 20_000,
          value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(super) messages: u64,
    /// How many groups receive them.
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=128))]
    pub(super) groups: u16,
    /// Run on a throwaway Postgres cluster.
    #[arg(long)]
    pub(super) postgres: bool,
    /// Members of each group.
    #[arg(long, value_name = "N", default_value_t = 2,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) workers: u16,
    /// Bytes of each payload; a number is always in it.
    #[arg(long, value_name = "BYTES", default_value_t = 256,
          value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub(super) payload: u32,
    /// Messages to publish a second; 0 is as many as possible.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) rate: u32,
    /// Decides what fails, crashes and is rolled back.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
}
