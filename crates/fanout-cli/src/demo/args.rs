use clap::Args;
use fanout::CompletionMode;

/// Runs on the embedded memory engine unless it is told otherwise, on a topic of each mode in turn.
/// On a given database it makes topics of its own and deletes them afterwards; their dead letters
/// stay.
#[derive(Clone, Debug, Args)]
pub(crate) struct Demo {
    /// How many messages to commit to a topic.
    #[arg(long, value_name = "N", default_value_t = 20_000,
          value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(super) messages: u64,
    /// How many groups receive them [default: 4 by reference counting, 18 by cursors].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    pub(super) groups: Option<u16>,
    /// On a topic of this mode alone: `reference-counting` or `offset-watermark`.
    #[arg(long)]
    pub(super) mode: Option<CompletionMode>,
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

/// One topic and its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) mode: CompletionMode,
    pub(super) groups: u16,
}

impl Demo {
    /// What is to be shown, one after another.
    pub(super) fn parts(&self) -> Vec<Part> {
        let modes = CompletionMode::ALL.iter().copied();
        let wanted = modes.filter(|mode| self.mode.is_none_or(|only| *mode == only));
        wanted
            .map(|mode| Part {
                mode,
                groups: self.groups.unwrap_or(match mode {
                    CompletionMode::ReferenceCounting => 4,
                    // Fits a terminal of 24 lines.
                    CompletionMode::OffsetWatermark => 18,
                }),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        demo: Demo,
    }

    #[test]
    fn both_modes_are_shown_unless_one_is_named() {
        let parts = |args: &[&str]| {
            let cli = Cli::parse_from([&["demo"], args].concat());
            let parts = cli.demo.parts().into_iter();
            parts
                .map(|part| (part.mode.as_str(), part.groups))
                .collect::<Vec<_>>()
        };
        let (counting, cursors) = ("reference-counting", "offset-watermark");
        assert_eq!(parts(&[]), [(counting, 4), (cursors, 18)]);
        assert_eq!(parts(&["--groups", "7"]), [(counting, 7), (cursors, 7)]);
        assert_eq!(parts(&["--mode", cursors]), [(cursors, 18)]);
        assert_eq!(
            parts(&["--mode", counting, "--groups", "1"]),
            [(counting, 1)]
        );
    }
}
