//! One lane of a group, as its owner sees it.

mod committing;
mod delivering;
mod entry;
mod reading;
mod spans;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fanout_core::{GroupIndex, IdSet, Lane, Timestamp};

pub(crate) use self::entry::{Entry, State};
use self::reading::Reading;
use super::log_row::LogRow;
use super::tick::Tick;
use crate::storage::cursors::Cursor;

/// A lane that this session owns: where its cursor stands, what of its span has been read, and what is
/// in hand. Pure: the session reads and commits.
#[derive(Debug)]
pub(crate) struct LaneState {
    pub(crate) group: GroupIndex,
    pub(crate) lane: Lane,
    pub(crate) epoch: i64,
    pub(crate) version: i64,
    /// When the lease on it ends.
    pub(crate) expires_at: Timestamp,
    /// A commit may or may not have happened: the cursor must be read again first.
    pub(crate) suspect: bool,
    /// The end of its span is gone: it must begin anew where the database says.
    pub(crate) astray: bool,
    /// The tick and the span's end that the database holds.
    stored: (i64, i64),
    pub(super) tick: Tick,
    span: Option<Reading>,
    /// Of the span, all up to this id is settled.
    last_id: i64,
    /// And so is this, of what is not among the rows.
    ahead: IdSet,
    /// How often the span was extended.
    rank: u32,
    /// More committed late than fits into the span: it ends as it is.
    is_full: bool,
    /// What was read of the span above `last_id`.
    pub(super) rows: BTreeMap<i64, Entry>,
    pub(super) failures: BTreeMap<i64, u32>,
    pub(super) blocked_until: Option<Timestamp>,
    /// The lane stalled often: one message at a time.
    careful: bool,
    pub(super) trial: Option<i64>,
    /// What was in hand alone when the last owner vanished.
    culprit: Option<i64>,
    /// Until then messages may be in hand that this session forgot.
    resting_until: Option<Timestamp>,
    /// Settled by callers' transactions that committed.
    settled_elsewhere: BTreeSet<i64>,
    /// Those of them that the cursor has yet to cover.
    pub(super) folding: BTreeSet<i64>,
    next_delivery: i64,
}

/// What a lane hands out.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) row: Arc<LogRow>,
    pub(crate) delivery: i64,
    pub(crate) failures: u32,
    pub(crate) until: Timestamp,
}

/// Where a cursor comes to stand.
#[derive(Debug, PartialEq)]
pub(super) struct Position {
    pub(super) tick: i64,
    pub(super) through: i64,
    pub(super) last_id: i64,
    pub(super) ahead: IdSet,
}

impl LaneState {
    pub(crate) fn new(
        group: GroupIndex,
        cursor: Cursor,
        expires_at: Timestamp,
        max_stalls: u32,
    ) -> Self {
        let span = (cursor.through.number > cursor.tick.number)
            .then(|| Reading::promised(cursor.tick.clone(), cursor.through.clone()));
        Self {
            group,
            lane: cursor.lane,
            epoch: cursor.epoch,
            version: cursor.version,
            expires_at,
            suspect: false,
            astray: false,
            stored: (cursor.tick.number, cursor.through.number),
            tick: cursor.tick,
            last_id: span.as_ref().map_or(0, |_| cursor.last_id),
            ahead: cursor.ahead,
            rank: 0,
            is_full: false,
            rows: BTreeMap::new(),
            failures: cursor.failures,
            blocked_until: cursor.blocked_until,
            careful: cursor.stalls >= max_stalls,
            span,
            trial: cursor.trial,
            culprit: cursor.trial.filter(|_| cursor.stalls > max_stalls),
            resting_until: None,
            settled_elsewhere: BTreeSet::new(),
            folding: BTreeSet::new(),
            next_delivery: 0,
        }
    }
}
