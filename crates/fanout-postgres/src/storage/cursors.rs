//! Cursors and the leases of their lanes.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Integer, Interval, Nullable, SmallInt, Text, Timestamptz,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{GroupIndex, IdSet, Lane, MessageId, Result, SubscriptionId, Timestamp, TopicId};

use super::call::{call, only};
use super::group_bits::bit;
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
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) subscription: SubscriptionId,
    pub(crate) group: GroupIndex,
    /// Unique for the session.
    pub(crate) owner: String,
    pub(crate) name: String,
}

/// Keeps a member's lanes for `term`, gives some up and takes free ones up to its fair share. Ticks from
/// `standing` on, none for the newest, shall stay.
pub(crate) async fn hold(
    connection: &mut AsyncPgConnection,
    holder: &Holder,
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
    holder: &Holder,
    now: Option<Timestamp>,
) -> Result<()> {
    hold_rows(connection, holder, Duration::ZERO, &[], None, true, now).await?;
    Ok(())
}

async fn hold_rows(
    connection: &mut AsyncPgConnection,
    holder: &Holder,
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
        holder.owner.as_str().into_sql::<Text>(),
        holder.name.as_str().into_sql::<Text>(),
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
    holder: &Holder,
    lanes: &[Lane],
    by: Duration,
    now: Option<Timestamp>,
) -> Result<(Timestamp, Vec<Lane>)> {
    let lanes = numbers(lanes);
    let binds = (
        topic.0.into_sql::<Integer>(),
        bit(holder.group).into_sql::<SmallInt>(),
        holder.owner.as_str().into_sql::<Text>(),
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

/// Removes members that came in while their subscription ended or moved.
pub(crate) async fn forget_strays(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<()> {
    call::<(), _>("forget_strays", (topic.0.into_sql::<Integer>(),))
        .execute(connection)
        .await
        .committing()?;
    Ok(())
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
