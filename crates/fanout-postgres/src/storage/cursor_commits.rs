//! Commits of cursors.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::data_types::{PgInterval, PgTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Integer, Interval, Nullable, SmallInt, Text, Timestamptz,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{DeadReason, GroupIndex, IdSet, Lane, Result, Timestamp, TopicId};

use super::call::{call, only};
use super::group_bits::bit;
use super::ticks::number;
use super::time::{from_duration, from_timestamp, to_timestamp};
use crate::error::{ResultExt, corrupt};

/// A change of a cursor, by compare-and-swap on epoch and version.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CursorUpdate {
    pub(crate) group: GroupIndex,
    pub(crate) lane: Lane,
    pub(crate) epoch: i64,
    pub(crate) version: i64,
    pub(crate) tick: i64,
    pub(crate) through: i64,
    pub(crate) last_id: i64,
    pub(crate) ahead: IdSet,
    pub(crate) failures: BTreeMap<i64, u32>,
    pub(crate) blocked_until: Option<Timestamp>,
    /// Blocks the lane for this long from now, instead.
    pub(crate) block_for: Option<Duration>,
    pub(crate) trial: Option<i64>,
    /// Something was settled: the lane does not stall.
    pub(crate) progressed: bool,
    pub(crate) parks: Vec<Park>,
    pub(crate) dead: Vec<Dead>,
    /// Messages that callers' transactions settled and that the cursor covers now.
    pub(crate) folded: Vec<i64>,
    /// All messages that callers' transactions have settled, as far as is known: while there are others
    /// the cursor does not move.
    pub(crate) known: Vec<i64>,
}

/// A message that gets a tracking row of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Park {
    pub(crate) id: i64,
    pub(crate) attempts: u32,
    pub(crate) delay: Duration,
    pub(crate) error: Option<String>,
}

/// A message that is given up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dead {
    pub(crate) id: i64,
    pub(crate) attempts: u32,
    pub(crate) reason: DeadReason,
    pub(crate) error: Option<String>,
}

/// A change, and when the server was started that its ticks are known from.
pub(crate) type Commit = (Option<Timestamp>, CursorUpdate);

/// Commits cursors, all in one statement; returns the time and which of them moved, in order. None moves whose
/// server is not this one.
pub(crate) async fn commit(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    commits: &[Commit],
    now: Option<Timestamp>,
) -> Result<(Timestamp, Vec<bool>)> {
    // In one order for all, against deadlocks.
    let mut order: Vec<usize> = (0..commits.len()).collect();
    order.sort_by_key(|index| (commits[*index].1.group, commits[*index].1.lane));
    let mut c = CursorColumnsOut::default();
    let mut parks = Rows::<Park>::default();
    let mut dead = Rows::<Dead>::default();
    let mut folded = Rows::<i64>::default();
    let mut known = Rows::<i64>::default();
    for (place, (server, update)) in (1..).zip(order.iter().map(|index| &commits[*index])) {
        c.push(*server, update)?;
        parks.extend(place, &update.parks);
        dead.extend(place, &update.dead);
        folded.extend(place, &update.folded);
        known.extend(place, &update.known);
    }
    let park_ids: Vec<i64> = parks.rows.iter().map(|park| park.id).collect();
    let park_attempts: Vec<i32> = parks.rows.iter().map(|park| int(park.attempts)).collect();
    let park_delays: Vec<PgInterval> = parks
        .rows
        .iter()
        .map(|park| from_duration(park.delay))
        .collect();
    let park_errors: Vec<Option<&str>> = parks
        .rows
        .iter()
        .map(|park| park.error.as_deref())
        .collect();
    let dead_ids: Vec<i64> = dead.rows.iter().map(|dead| dead.id).collect();
    let dead_attempts: Vec<i32> = dead.rows.iter().map(|dead| int(dead.attempts)).collect();
    let dead_reasons: Vec<&str> = dead.rows.iter().map(|dead| dead.reason.as_str()).collect();
    let dead_errors: Vec<Option<&str>> =
        dead.rows.iter().map(|dead| dead.error.as_deref()).collect();
    let binds = (
        topic.0.into_sql::<Integer>(),
        (
            c.groups.into_sql::<Array<SmallInt>>(),
            c.lanes.into_sql::<Array<SmallInt>>(),
            c.epochs.into_sql::<Array<BigInt>>(),
            c.versions.into_sql::<Array<BigInt>>(),
            c.ticks.into_sql::<Array<BigInt>>(),
            c.throughs.into_sql::<Array<BigInt>>(),
            c.last_ids.into_sql::<Array<BigInt>>(),
            c.aheads.into_sql::<Array<Text>>(),
            c.failures.into_sql::<Array<Text>>(),
            c.blocked.into_sql::<Array<Nullable<Timestamptz>>>(),
            c.block_for.into_sql::<Array<Nullable<Interval>>>(),
            c.trials.into_sql::<Array<Nullable<BigInt>>>(),
            c.progressed.into_sql::<Array<Bool>>(),
            c.servers.into_sql::<Array<Nullable<Timestamptz>>>(),
        ),
        (
            parks.places.into_sql::<Array<Integer>>(),
            park_ids.into_sql::<Array<BigInt>>(),
            park_attempts.into_sql::<Array<Integer>>(),
            park_delays.into_sql::<Array<Interval>>(),
            park_errors.into_sql::<Array<Nullable<Text>>>(),
        ),
        (
            dead.places.into_sql::<Array<Integer>>(),
            dead_ids.into_sql::<Array<BigInt>>(),
            dead_attempts.into_sql::<Array<Integer>>(),
            dead_reasons.into_sql::<Array<Text>>(),
            dead_errors.into_sql::<Array<Nullable<Text>>>(),
        ),
        (
            folded.places.into_sql::<Array<Integer>>(),
            folded.rows.into_sql::<Array<BigInt>>(),
            known.places.into_sql::<Array<Integer>>(),
            known.rows.into_sql::<Array<BigInt>>(),
        ),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let (moment, in_order): (PgTimestamp, Vec<bool>) =
        call::<(Timestamptz, Array<Bool>), _>("commit_cursors", binds)
            .load(connection)
            .await
            .and_then(only)
            .committing()?;
    let mut moved = vec![false; commits.len()];
    for (index, did) in order.into_iter().zip(in_order) {
        moved[index] = did;
    }
    Ok((to_timestamp(moment), moved))
}

fn int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Updates, column by column.
#[derive(Default)]
struct CursorColumnsOut {
    groups: Vec<i16>,
    lanes: Vec<i16>,
    epochs: Vec<i64>,
    versions: Vec<i64>,
    ticks: Vec<i64>,
    throughs: Vec<i64>,
    last_ids: Vec<i64>,
    aheads: Vec<String>,
    failures: Vec<String>,
    blocked: Vec<Option<PgTimestamp>>,
    block_for: Vec<Option<PgInterval>>,
    trials: Vec<Option<i64>>,
    progressed: Vec<bool>,
    servers: Vec<Option<PgTimestamp>>,
}

impl CursorColumnsOut {
    fn push(&mut self, server: Option<Timestamp>, update: &CursorUpdate) -> Result<()> {
        self.groups.push(bit(update.group));
        self.lanes.push(number(update.lane));
        self.epochs.push(update.epoch);
        self.versions.push(update.version);
        self.ticks.push(update.tick);
        self.throughs.push(update.through);
        self.last_ids.push(update.last_id);
        self.aheads.push(update.ahead.to_string());
        let failures = serde_json::to_string(&update.failures)
            .map_err(|error| corrupt("count of failures", &error))?;
        self.failures.push(failures);
        self.blocked.push(update.blocked_until.map(from_timestamp));
        self.block_for.push(update.block_for.map(from_duration));
        self.trials.push(update.trial);
        self.progressed.push(update.progressed);
        self.servers.push(server.map(from_timestamp));
        Ok(())
    }
}

/// Rows with the place of the update that they go with, counted from 1.
struct Rows<Row> {
    places: Vec<i32>,
    rows: Vec<Row>,
}

impl<Row> Default for Rows<Row> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            rows: Vec::new(),
        }
    }
}

impl<Row: Clone> Rows<Row> {
    fn extend(&mut self, place: i32, rows: &[Row]) {
        self.places.extend(std::iter::repeat_n(place, rows.len()));
        self.rows.extend_from_slice(rows);
    }
}
