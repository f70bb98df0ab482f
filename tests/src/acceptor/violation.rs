//! An answer that the contract does not allow.

use std::fmt::{self, Debug};

use fanout_core::{ErrorKind, Result};

/// What the engine answered, and why it may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(String);

pub type Checked<T = ()> = std::result::Result<T, Violation>;

impl Violation {
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// The engine gave an error where it had to succeed.
    pub fn refused(what: &str, error: &fanout_core::Error) -> Self {
        Self(format!(
            "{what}: must succeed, got {:?}: {error}",
            error.kind()
        ))
    }

    /// Adds what was under way.
    pub fn during(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Refuses the answer unless the condition holds.
macro_rules! check {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::acceptor::Violation::new(format!($($message)+)));
        }
    };
}
pub(super) use check;

/// Checks that a call was refused with one of these kinds.
pub fn expect_error<T: Debug>(what: &str, answer: &Result<T>, allowed: &[ErrorKind]) -> Checked {
    match answer {
        Err(error) if allowed.contains(&error.kind()) => Ok(()),
        Err(error) => Err(Violation::new(format!(
            "{what}: must be refused with {allowed:?}, got {:?}: {error}",
            error.kind()
        ))),
        Ok(answer) => Err(Violation::new(format!(
            "{what}: must be refused with {allowed:?}, got {answer:?}"
        ))),
    }
}
