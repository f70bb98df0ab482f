//! Cursors and the leases of their lanes.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::data_types::{PgInterval, PgTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Integer, Interval, Nullable, SmallInt, Text, Timestamptz,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{
    DeadReason, GroupIndex, IdSet, Lane, MessageId, Result, SubscriptionId, Timestamp, TopicId,
};

use super::call::{call, only};
use super::subscriptions::bit;
use super::ticks::{lane, number, snapshot};
use super::time::{from_duration, from_timestamp, to_timestamp};
use crate::cursor::Tick;
use crate::error::{ResultExt, corrupt};

/// A cursor as the database holds it.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) lane: Lane,
    pub(crate) epoch: i64,
    pub(crate) version: i64,
    pub(crate) tick: Tick,
    /// Where its span ends; its own tick when it is in none.
    pub(crate) through: Tick,
    pub(crate) last_id: i64,
    pub(crate) ahead: IdSet,
    pub(crate) failures: BTreeMap<i64, u32>,
    pub(crate) blocked_until: Option<Timestamp>,
    pub(crate) stalls: u32,
    pub(crate) trial: Option<i64>,
}

/// What a member holds after it asked for lanes.
#[derive(Debug)]
pub(crate) struct Holding {
    /// Whether the subscription is there, with the bit that was asked for.
    pub(crate) alive: bool,
    /// Live members of the group, this one included.
    pub(crate) members: usize,
    /// How many lanes it may own.
    pub(crate) share: usize,
    /// Ticks from this one on stay until the next call.
    pub(crate) oldest_tick: i64,
    /// Each with the end of its lease.
    pub(crate) lanes: Vec<(Cursor, Timestamp)>,
}

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
    /// When the server was started that the ticks are known from.
    pub(crate) server: Timestamp,
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

type HoldColumns = (
    Timestamptz,
    Bool,
    Integer,
    Integer,
    BigInt,
    Nullable<SmallInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Timestamptz>,
    Nullable<Integer>,
    Nullable<BigInt>,
    Nullable<Timestamptz>,
);

#[derive(Queryable)]
struct HoldRow {
    #[expect(dead_code, reason = "the lanes' leases tell their ends")]
    moment: PgTimestamp,
    alive: bool,
    members: i32,
    share: i32,
    oldest_tick: i64,
    lane: Option<i16>,
    epoch: Option<i64>,
    version: Option<i64>,
    tick: Option<i64>,
    snapshot: Option<String>,
    through: Option<i64>,
    through_snapshot: Option<String>,
    last_id: Option<i64>,
    ahead: Option<String>,
    failures: Option<String>,
    blocked_until: Option<PgTimestamp>,
    stalls: Option<i32>,
    trial: Option<i64>,
    expires_at: Option<PgTimestamp>,
}

impl HoldRow {
    fn lane(self) -> Option<(CursorColumns, PgTimestamp)> {
        let columns = CursorColumns {
            lane: self.lane?,
            epoch: self.epoch?,
            version: self.version?,
            tick: self.tick?,
            snapshot: self.snapshot?,
            through: self.through?,
            through_snapshot: self.through_snapshot?,
            last_id: self.last_id?,
            ahead: self.ahead?,
            failures: self.failures?,
            blocked_until: self.blocked_until,
            stalls: self.stalls?,
            trial: self.trial,
        };
        Some((columns, self.expires_at?))
    }
}

#[derive(Queryable)]
struct CursorColumns {
    lane: i16,
    epoch: i64,
    version: i64,
    tick: i64,
    snapshot: String,
    through: i64,
    through_snapshot: String,
    last_id: i64,
    ahead: String,
    failures: String,
    blocked_until: Option<PgTimestamp>,
    stalls: i32,
    trial: Option<i64>,
}

impl CursorColumns {
    fn cursor(self) -> Result<Cursor> {
        let failures = serde_json::from_str(&self.failures)
            .map_err(|_| corrupt("count of failures", &self.failures))?;
        Ok(Cursor {
            lane: lane(self.lane),
            epoch: self.epoch,
            version: self.version,
            tick: tick(self.tick, &self.snapshot)?,
            through: tick(self.through, &self.through_snapshot)?,
            last_id: self.last_id,
            ahead: self
                .ahead
                .parse()
                .map_err(|_| corrupt("set of ids", &self.ahead))?,
            failures,
            blocked_until: self.blocked_until.map(to_timestamp),
            stalls: u32::try_from(self.stalls).unwrap_or(0),
            trial: self.trial,
        })
    }
}

fn tick(number: i64, text: &str) -> Result<Tick> {
    let snapshot = std::sync::Arc::new(snapshot(text)?);
    Ok(Tick { number, snapshot })
}

fn numbers(lanes: &[Lane]) -> Vec<i16> {
    lanes.iter().map(|lane| number(*lane)).collect()
}

/// Who asks for lanes.
#[derive(Debug)]
pub(crate) struct Holder<'a> {
    pub(crate) subscription: SubscriptionId,
    pub(crate) group: GroupIndex,
    /// Unique for the session.
    pub(crate) owner: &'a str,
    pub(crate) name: &'a str,
}

/// Keeps a member's lanes for `term`, gives some up and takes free ones up to its fair share. Ticks from
/// `standing` on, none for the newest, shall stay.
pub(crate) async fn hold(
    connection: &mut AsyncPgConnection,
    holder: &Holder<'_>,
    term: Duration,
    give: &[Lane],
    standing: Option<i64>,
    now: Option<Timestamp>,
) -> Result<Holding> {
    let rows = hold_rows(connection, holder, term, give, standing, false, now).await?;
    let first = rows[..]
        .first()
        .ok_or_else(|| corrupt("answer about lanes", &"no row"))?;
    let count = |count: i32| usize::try_from(count).unwrap_or(0);
    let mut holding = Holding {
        alive: first.alive,
        members: count(first.members),
        share: count(first.share),
        oldest_tick: first.oldest_tick,
        lanes: Vec::new(),
    };
    for (columns, expires_at) in rows.into_iter().filter_map(HoldRow::lane) {
        holding
            .lanes
            .push((columns.cursor()?, to_timestamp(expires_at)));
    }
    Ok(holding)
}

/// Gives all lanes of a member up, and ends its membership.
pub(crate) async fn let_go(
    connection: &mut AsyncPgConnection,
    holder: &Holder<'_>,
    now: Option<Timestamp>,
) -> Result<()> {
    hold_rows(connection, holder, Duration::ZERO, &[], None, true, now).await?;
    Ok(())
}

async fn hold_rows(
    connection: &mut AsyncPgConnection,
    holder: &Holder<'_>,
    term: Duration,
    give: &[Lane],
    standing: Option<i64>,
    leaving: bool,
    now: Option<Timestamp>,
) -> Result<Vec<HoldRow>> {
    let give = numbers(give);
    let binds = (
        holder.subscription.0.into_sql::<BigInt>(),
        bit(holder.group).into_sql::<SmallInt>(),
        holder.owner.into_sql::<Text>(),
        holder.name.into_sql::<Text>(),
        from_duration(term).into_sql::<Interval>(),
        give.into_sql::<Array<SmallInt>>(),
        standing.into_sql::<Nullable<BigInt>>(),
        leaving.into_sql::<Bool>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    call::<HoldColumns, _>("hold_lanes", binds)
        .load(connection)
        .await
        .committing()
}

/// Moves the ends of lanes' leases to `by` from now, if that is later; returns the time and the lanes that
/// are still the member's.
pub(crate) async fn extend(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    holder: &Holder<'_>,
    lanes: &[Lane],
    by: Duration,
    now: Option<Timestamp>,
) -> Result<(Timestamp, Vec<Lane>)> {
    let lanes = numbers(lanes);
    let binds = (
        topic.0.into_sql::<Integer>(),
        bit(holder.group).into_sql::<SmallInt>(),
        holder.owner.into_sql::<Text>(),
        lanes.into_sql::<Array<SmallInt>>(),
        from_duration(by).into_sql::<Interval>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let rows: Vec<(PgTimestamp, Option<i16>)> =
        call::<(Timestamptz, Nullable<SmallInt>), _>("extend_lanes", binds)
            .load(connection)
            .await
            .committing()?;
    let moment = rows[..]
        .first()
        .ok_or_else(|| corrupt("answer about lanes", &"no row"))?
        .0;
    let lanes = rows.iter().filter_map(|(_, kept)| kept.map(lane)).collect();
    Ok((to_timestamp(moment), lanes))
}

/// Reads the cursors of a group's lanes again, and fences commits that a member with these epochs has under
/// way.
pub(crate) async fn reread(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: GroupIndex,
    lanes: &[(Lane, i64)],
) -> Result<Vec<Cursor>> {
    let (lanes, epochs): (Vec<i16>, Vec<i64>) = lanes
        .iter()
        .map(|(lane, epoch)| (number(*lane), *epoch))
        .unzip();
    let binds = (
        topic.0.into_sql::<Integer>(),
        bit(group).into_sql::<SmallInt>(),
        lanes.into_sql::<Array<SmallInt>>(),
        epochs.into_sql::<Array<BigInt>>(),
    );
    let rows: Vec<CursorColumns> = call::<
        (
            SmallInt,
            BigInt,
            BigInt,
            BigInt,
            Text,
            BigInt,
            Text,
            BigInt,
            Text,
            Text,
            Nullable<Timestamptz>,
            Integer,
            Nullable<BigInt>,
        ),
        _,
    >("reread_cursors", binds)
    .load(connection)
    .await
    .committing()?;
    rows.into_iter().map(CursorColumns::cursor).collect()
}

/// What callers' transactions have settled of a group's lanes and no cursor covers yet.
pub(crate) async fn settled_elsewhere(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: GroupIndex,
    lanes: &[Lane],
) -> Result<Vec<(Lane, i64)>> {
    let lanes = numbers(lanes);
    let binds = (
        topic.0.into_sql::<Integer>(),
        bit(group).into_sql::<SmallInt>(),
        lanes.into_sql::<Array<SmallInt>>(),
    );
    let rows: Vec<(i16, i64)> = call::<(SmallInt, BigInt), _>("lane_settlements", binds)
        .load(connection)
        .await
        .reading()?;
    Ok(rows.into_iter().map(|(of, id)| (lane(of), id)).collect())
}

/// Commits cursors, all in one statement; returns the time and which of them moved, in order.
pub(crate) async fn commit(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    updates: &[CursorUpdate],
    now: Option<Timestamp>,
) -> Result<(Timestamp, Vec<bool>)> {
    // In one order for all, against deadlocks.
    let mut order: Vec<usize> = (0..updates.len()).collect();
    order.sort_by_key(|index| (updates[*index].group, updates[*index].lane));
    let mut c = CursorColumnsOut::default();
    let mut parks = Rows::<Park>::default();
    let mut dead = Rows::<Dead>::default();
    let mut folded = Rows::<i64>::default();
    let mut known = Rows::<i64>::default();
    for (place, update) in (1..).zip(order.iter().map(|index| &updates[*index])) {
        c.push(update)?;
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
            c.servers.into_sql::<Array<Timestamptz>>(),
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
    let mut moved = vec![false; updates.len()];
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
    servers: Vec<PgTimestamp>,
}

impl CursorColumnsOut {
    fn push(&mut self, update: &CursorUpdate) -> Result<()> {
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
        self.servers.push(from_timestamp(update.server));
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

/// Makes the cursors of a new subscription, or of one that begins anew elsewhere.
pub(crate) async fn create(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: GroupIndex,
    tick: i64,
    owed_from: Option<MessageId>,
) -> Result<()> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        bit(group).into_sql::<SmallInt>(),
        tick.into_sql::<BigInt>(),
        owed_from.map(|id| id.0).into_sql::<Nullable<BigInt>>(),
    );
    call::<(), _>("create_cursors", binds)
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Removes the cursors of a bit whose subscription has ended or left it; returns how many there were.
pub(crate) async fn remove(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: GroupIndex,
) -> Result<u64> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        bit(group).into_sql::<SmallInt>(),
    );
    let removed: i64 = call::<BigInt, _>("drop_cursors", binds)
        .load(connection)
        .await
        .and_then(only)
        .reading()?;
    Ok(u64::try_from(removed).unwrap_or(0))
}

/// Moves the cursors of lanes without an owner over what is settled; returns how many moved.
pub(crate) async fn advance_free(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: GroupIndex,
    now: Option<Timestamp>,
) -> Result<u64> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        bit(group).into_sql::<SmallInt>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let moved: i64 = call::<BigInt, _>("advance_free_lanes", binds)
        .load(connection)
        .await
        .and_then(only)
        .committing()?;
    Ok(u64::try_from(moved).unwrap_or(0))
}
