//! What the database holds.

use std::collections::BTreeSet;

use fanout_core::Snapshot;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Facts {
    pub(crate) log: Vec<Stored>,
    /// Cancelled ones included.
    pub(crate) subscriptions: Vec<Reading>,
    pub(crate) records: Vec<Record>,
    /// Snapshots of all ticks that were ever taken, in order.
    pub(crate) taken: Vec<String>,
    pub(crate) spans: Vec<Span>,
    pub(crate) moves: Vec<Move>,
    pub(crate) watermark: i64,
}

/// A message of the log.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Stored {
    pub(crate) id: i64,
    pub(crate) tx: u64,
    pub(crate) tracked: bool,
    pub(crate) key: Option<String>,
}

/// A group's subscription.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reading {
    pub(crate) group: String,
    pub(crate) bit: i16,
    pub(crate) status: String,
    pub(crate) ordered: bool,
    pub(crate) start: String,
    pub(crate) owed_from: Option<i64>,
    pub(crate) pending: BTreeSet<i64>,
}

impl Reading {
    pub(crate) fn is_live(&self) -> bool {
        self.status != "CANCELLED"
    }

    /// The rule of what a group is owed.
    pub(crate) fn owes(&self, message: &Stored) -> bool {
        !snapshot(&self.start).sees(message.tx)
            || self.owed_from.is_some_and(|from| message.id >= from)
    }

    pub(crate) fn owed(&self, log: &[Stored]) -> BTreeSet<i64> {
        let owed = log.iter().filter(|message| self.owes(message));
        owed.map(|message| message.id).collect()
    }
}

/// The completion record of a message.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: i64,
    pub(crate) finished: bool,
    pub(crate) required: BTreeSet<i16>,
    pub(crate) completed: BTreeSet<i16>,
}

/// What a tick says of its span, and what is in it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Span {
    pub(crate) tick: i64,
    pub(crate) stored: i64,
    pub(crate) stored_untracked: i64,
    pub(crate) found: i64,
    pub(crate) found_untracked: i64,
    pub(crate) covered: bool,
}

/// A change of a cursor.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Move {
    pub(crate) bit: i16,
    pub(crate) lane: u16,
    pub(crate) epoch: i64,
    pub(crate) backward: bool,
    pub(crate) covers: BTreeSet<i64>,
}

impl Facts {
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).expect("the facts have this form")
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = &Reading> {
        self.subscriptions
            .iter()
            .filter(|reading| reading.is_live())
    }

    pub(crate) fn of_bit(&self, bit: i16) -> Option<&Reading> {
        self.subscriptions.iter().find(|reading| reading.bit == bit)
    }
}

pub(crate) fn snapshot(text: &str) -> Snapshot {
    text.parse().expect("a snapshot of the database")
}
