//! A message that a lane knows.

use std::sync::Arc;

use fanout_core::Timestamp;

use crate::cursor::log_row::LogRow;

/// A message of the span.
#[derive(Debug)]
pub(crate) struct Entry {
    /// None once it is settled.
    pub(in crate::cursor) row: Option<Arc<LogRow>>,
    pub(in crate::cursor) state: State,
    /// In which part of the span it lies: what was added to the span comes after what was there.
    pub(super) rank: u32,
    /// How often its lease ended.
    pub(super) expiries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not delivered yet.
    Fresh,
    /// To be delivered again.
    Again,
    InHand {
        delivery: i64,
        until: Timestamp,
    },
    Settled,
}

impl Entry {
    pub(super) const fn is_due(&self) -> bool {
        matches!(self.state, State::Fresh | State::Again)
    }

    pub(super) fn key(&self) -> Option<&str> {
        self.row.as_ref().and_then(|row| row.key.as_deref())
    }

    pub(in crate::cursor) fn settle(&mut self) {
        self.state = State::Settled;
        self.row = None;
    }
}
