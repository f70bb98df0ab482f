//! What consumers do with their deliveries.

use fanout_core::Verdict;

use crate::published::Ordinal;
use crate::reader::Reader;

/// What is done with one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    Done,
    Skip,
    Fail,
    Release,
    /// Nothing yet.
    Keep,
}

impl Handling {
    /// What a member says, if anything.
    pub fn verdict(self, attempt: u32) -> Option<Verdict> {
        match self {
            Self::Done => Some(Verdict::Done),
            Self::Skip => Some(Verdict::Skip),
            Self::Fail => Some(Verdict::Fail(failure(attempt))),
            Self::Release => Some(Verdict::Release),
            Self::Keep => None,
        }
    }

    /// What is done when a history ends: nothing stays undecided. Until then a message that ends as
    /// done may also be settled in a transaction.
    pub const fn in_the_end(self) -> Self {
        match self {
            Self::Release | Self::Keep => Self::Done,
            decided => decided,
        }
    }
}

/// What a failed attempt says.
pub fn failure(attempt: u32) -> String {
    format!("attempt {attempt} failed")
}

/// A function of (group, message, attempt), as a table: the outcome of a message is thus the same
/// whoever handles it and whenever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler(pub Vec<Handling>);

impl Handler {
    pub fn handle(&self, reader: Reader, message: Ordinal, attempt: u32) -> Handling {
        let index = reader.number() * 5 + message * 3 + attempt as usize * (7 + message);
        self.0
            .get(index % self.0.len().max(1))
            .copied()
            .unwrap_or(Handling::Done)
    }
}
