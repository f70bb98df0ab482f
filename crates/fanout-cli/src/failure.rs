//! What can go wrong, and how it is told: in one line.

use std::error::Error as StdError;
use std::io::{self, Write};
use std::process::ExitCode;

use fanout::{Error, ErrorKind};

use crate::exit;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The engine refused.
    Engine(Error),
    /// The command line makes no sense as a whole.
    Usage(String),
    /// A file or stream failed.
    Io { what: String, source: io::Error },
    /// No throwaway cluster could be made.
    Cluster(fanout_testpg::Error),
    /// Whoever read the output has gone: no reason to complain.
    BrokenPipe,
    /// The answer is no, which the exit code tells.
    No,
    /// A demo does not add up, or does not end.
    Accounting(String),
    /// Somebody else did what this was not to find.
    Refused(String),
    /// Ended by a signal, orderly.
    Interrupted,
}

impl Failure {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::BrokenPipe
        } else {
            Self::io("cannot write to standard output", error)
        }
    }

    /// Tells it on standard error, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if let Some(line) = self.line() {
            complain(&format!("error: {line}"));
        }
        ExitCode::from(self.code())
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Engine(error) => exit::code(error.kind()),
            Self::Usage(_) => exit::USAGE,
            Self::Io { .. } => exit::GENERAL,
            Self::Cluster(_) => exit::UNAVAILABLE,
            Self::BrokenPipe => 0,
            Self::No => exit::NOT_FOUND,
            Self::Accounting(_) => exit::ACCOUNTING,
            Self::Refused(_) => exit::REFUSED,
            Self::Interrupted => exit::INTERRUPTED,
        }
    }

    fn line(&self) -> Option<String> {
        Some(one_line(&match self {
            Self::Engine(error) => describe(error),
            Self::Usage(message) | Self::Accounting(message) | Self::Refused(message) => {
                message.clone()
            }
            Self::Io { what, source } => format!("{what}: {source}"),
            Self::Cluster(error) => with_sources(error),
            Self::BrokenPipe | Self::No => return None,
            Self::Interrupted => "interrupted".to_owned(),
        }))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<fanout_testpg::Error> for Failure {
    fn from(error: fanout_testpg::Error) -> Self {
        Self::Cluster(error)
    }
}

/// An engine's error with its causes and what to do about it.
pub(crate) fn describe(error: &Error) -> String {
    let text = with_sources(error);
    if error.kind() == ErrorKind::Database && error.source().is_some() {
        // The remedy is to read the source, which stands here.
        return text;
    }
    format!("{text}; {}", error.kind().remedy())
}

/// An error's message with those of its causes that it does not repeat itself.
fn with_sources(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Any text without line breaks and other control characters.
pub(crate) fn one_line(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Writes a line to standard error, whose failure there is nobody left to tell.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_message_cause_and_remedy() {
        let error = Error::new(ErrorKind::Unavailable, "cannot connect")
            .with_source(io::Error::other("no route\n  to host"));
        assert_eq!(
            Failure::from(error).line().as_deref(),
            Some("cannot connect: no route to host; try again later")
        );
        let error = Error::new(ErrorKind::Database, "query failed")
            .with_source(io::Error::other("disk full"));
        assert_eq!(
            Failure::from(error).line().as_deref(),
            Some("query failed: disk full")
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::output(io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.code(), failure.line()), (0, None));
    }
}
