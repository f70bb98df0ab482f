//! Exit codes: one place that says which failure ends in which.

use std::process::ExitCode;

use clap::error::ErrorKind as ClapKind;
use fanout::ErrorKind;

use crate::failure::{complain, one_line};

pub(crate) const GENERAL: u8 = 1;
pub(crate) const USAGE: u8 = 2;
pub(crate) const INVALID: u8 = 3;
pub(crate) const NOT_FOUND: u8 = 4;
pub(crate) const REFUSED: u8 = 5;
pub(crate) const UNAVAILABLE: u8 = 6;
pub(crate) const UNKNOWN: u8 = 7;
pub(crate) const SCHEMA: u8 = 8;
pub(crate) const UNSUPPORTED: u8 = 9;
pub(crate) const ACCOUNTING: u8 = 10;
pub(crate) const INTERRUPTED: u8 = 130;

/// For `--help`.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done
    1  the database refused, or something else went wrong
    2  wrong usage
    3  a value is invalid or too large
    4  no such topic or subscription
    5  refused: exists already, conflicts, ended, or would lose messages
    6  the database cannot be reached, or is not ready
    7  unknown outcome: the connection broke around a commit
    8  the schema is missing, older or newer than this program, or needs a rebase
    9  this version does not support it
   10  the accounting of a demo does not add up
  130  interrupted";

/// The code of an engine's error.
pub(crate) const fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidInput | ErrorKind::TooLarge => INVALID,
        ErrorKind::TopicNotFound | ErrorKind::SubscriptionNotFound => NOT_FOUND,
        ErrorKind::TopicExists
        | ErrorKind::SubscriptionEnded
        | ErrorKind::InvalidTransition
        | ErrorKind::NoSubscriptions
        | ErrorKind::StaleReceipt
        | ErrorKind::ForeignReceipt
        | ErrorKind::OutOfOrder
        | ErrorKind::Fenced
        | ErrorKind::Conflict
        | ErrorKind::WouldLoseMessages => REFUSED,
        ErrorKind::Unavailable
        | ErrorKind::Closed
        | ErrorKind::LeafMissing
        | ErrorKind::CapacityExceeded => UNAVAILABLE,
        ErrorKind::Unknown => UNKNOWN,
        ErrorKind::SchemaMismatch | ErrorKind::NeedsRebase => SCHEMA,
        ErrorKind::Unsupported | ErrorKind::IsolationLevel => UNSUPPORTED,
        _ => GENERAL,
    }
}

/// Prints what clap has to say: help as it is, an error in one line.
pub(crate) fn of_clap(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // A reader that closed the pipe has read what it wanted.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    // A subcommand that is missing shows the whole help instead of a message.
    if error.kind() == ClapKind::DisplayHelpOnMissingArgumentOrSubcommand {
        complain("error: a command is missing; see `fanout --help`");
        return ExitCode::from(USAGE);
    }
    let message = text.split("\n\nUsage:").next().unwrap_or(&text);
    let message = message.split("\n\nFor more information").next();
    complain(&format!(
        "{}; see `fanout --help`",
        one_line(message.unwrap_or(&text))
    ));
    ExitCode::from(match error.kind() {
        ClapKind::ValueValidation | ClapKind::InvalidValue => INVALID,
        _ => USAGE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table() {
        for code in [
            GENERAL,
            USAGE,
            INVALID,
            NOT_FOUND,
            REFUSED,
            UNAVAILABLE,
            UNKNOWN,
            SCHEMA,
            UNSUPPORTED,
            ACCOUNTING,
            INTERRUPTED,
        ] {
            let line = format!("{code:>5}  ");
            assert!(TABLE.contains(&line), "{code}");
        }
    }
}
