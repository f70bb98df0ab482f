//! The command line.

mod k2;
mod load;
mod p1;
mod p2;
mod place;
mod x1;

use clap::{Parser, Subcommand};

pub(crate) use self::k2::{K2, K2Settings};
pub(crate) use self::load::Load;
pub(crate) use self::p1::P1;
pub(crate) use self::p2::P2;
pub(crate) use self::place::PlaceArgs;
pub(crate) use self::x1::{X1, X1Settings};

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
    /// What a message costs with more and more groups in one process, at a fixed rate.
    P2(P2),
    /// Conflicts of commits when members of one group crash and their lanes are taken over.
    K2(K2),
    /// Changes of the mode under load, beside topics whose mode stays.
    X1(X1),
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
    fn groups_are_a_list() {
        let Command::P2(p2) = Cli::parse_from(["bench", "p2", "--groups", "4,64"]).command else {
            panic!("p2 was asked for");
        };
        assert_eq!(p2.groups, [4, 64]);
    }
}
