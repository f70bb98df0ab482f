//! Ticks and what lies between them.

use std::sync::Arc;
use std::time::Duration;

use diesel::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Integer, Interval, Jsonb, Nullable, SmallInt, Text, Timestamptz,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{Lane, Result, Snapshot, SubscriptionStatus, Timestamp, TopicId};

use super::call::{call, only};
use super::log;
use super::time::{from_duration, from_timestamp, to_timestamp};
use crate::cursor::{LogRow, Look, LookRequest, Tick};
use crate::error::{ResultExt, corrupt};

/// What taking a tick came to.
pub(crate) struct Ticked {
    /// Whether a tick was taken.
    pub(crate) taken: bool,
    /// The newest tick then; none when the topic is gone.
    pub(crate) newest: Option<Tick>,
    /// What the newest tick does not see lies above this id.
    pub(crate) decided: i64,
}

/// Takes a tick if one is due.
pub(crate) async fn tick(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    wait: bool,
    pace: Duration,
) -> Result<Ticked> {
    let binds = (
        wait.into_sql::<Bool>(),
        from_duration(pace).into_sql::<Interval>(),
    );
    let (taken, newest, snapshot, decided): (bool, _, _, Option<i64>) =
        call::<(Bool, Nullable<BigInt>, Nullable<Text>, Nullable<BigInt>), _>(
            format!("tick_{topic}"),
            binds,
        )
        .load(connection)
        .await
        .and_then(only)
        .committing()?;
    Ok(Ticked {
        taken,
        newest: tick_of(newest, snapshot)?,
        decided: decided.unwrap_or(0),
    })
}

fn tick_of(number: Option<i64>, text: Option<String>) -> Result<Option<Tick>> {
    let (Some(number), Some(text)) = (number, text) else {
        return Ok(None);
    };
    let snapshot = Arc::new(snapshot(&text)?);
    Ok(Some(Tick { number, snapshot }))
}

type LookColumns = (
    Timestamptz,
    Timestamptz,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<Bool>,
    Text,
    SmallInt,
    Bool,
    Bool,
    Bool,
    Bool,
    Integer,
    Integer,
);

#[derive(Queryable)]
struct LookRow {
    moment: PgTimestamp,
    server: PgTimestamp,
    newest: Option<i64>,
    snapshot: Option<String>,
    tracks: Option<bool>,
    status: String,
    group: i16,
    caught_up: bool,
    tracked: bool,
    folding: bool,
    lanes_folding: bool,
    members: i32,
    free_lanes: i32,
}

/// What members need to know before they deliver, in the order of the requests.
pub(crate) async fn look(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    requests: &[LookRequest],
    now: Option<Timestamp>,
) -> Result<Vec<Look>> {
    let subscriptions: Vec<i64> = requests.iter().map(|r| r.subscription.0).collect();
    let floors: Vec<i64> = requests.iter().map(|r| r.floor).collect();
    let binds = (
        subscriptions.into_sql::<Array<BigInt>>(),
        floors.into_sql::<Array<BigInt>>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let rows: Vec<LookRow> = call::<LookColumns, _>(format!("look_{topic}"), binds)
        .load(connection)
        .await
        .reading()?;
    let count = |count: i32| usize::try_from(count).unwrap_or(0);
    rows.into_iter()
        .map(|row| {
            Ok(Look {
                moment: to_timestamp(row.moment),
                server: to_timestamp(row.server),
                newest: tick_of(row.newest, row.snapshot)?,
                tracks: row.tracks.unwrap_or(false),
                status: status(&row.status)?,
                group: row.group,
                caught_up: row.caught_up,
                tracked: row.tracked,
                folding: row.folding,
                lanes_folding: row.lanes_folding,
                members: count(row.members),
                free_lanes: count(row.free_lanes),
            })
        })
        .collect()
}

fn status(text: &str) -> Result<SubscriptionStatus> {
    text.parse()
        .map_err(|_| corrupt("subscription status", &text))
}

type ReadColumns = (
    Nullable<SmallInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Nullable<Jsonb>,
    Nullable<Bytea>,
);

#[derive(Queryable)]
struct ReadColumnsRow {
    lane: Option<i16>,
    id: Option<i64>,
    transaction: Option<i64>,
    created_at: Option<PgTimestamp>,
    key: Option<String>,
    headers: Option<serde_json::Value>,
    payload: Option<Vec<u8>>,
}

/// Up to `limit` messages of each lane above its id, ascending within the lane, between two ticks. `None`
/// when the later tick is gone.
pub(crate) async fn read(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    from: &Tick,
    through: i64,
    lanes: &[(Lane, i64)],
    limit: usize,
    untracked: bool,
) -> Result<Option<Vec<LogRow>>> {
    let (lanes, afters): (Vec<i16>, Vec<i64>) = lanes
        .iter()
        .map(|(lane, after)| (number(*lane), *after))
        .unzip();
    let binds = (
        from.number.into_sql::<BigInt>(),
        from.snapshot.to_string().into_sql::<Text>(),
        through.into_sql::<BigInt>(),
        lanes.into_sql::<Array<SmallInt>>(),
        afters.into_sql::<Array<BigInt>>(),
        i32::try_from(limit)
            .unwrap_or(i32::MAX)
            .into_sql::<Integer>(),
        untracked.into_sql::<Bool>(),
    );
    let rows: Vec<ReadColumnsRow> = call::<ReadColumns, _>(format!("read_{topic}"), binds)
        .load(connection)
        .await
        .reading()?;
    // The first row is none: it tells that the tick is there.
    if rows.is_empty() {
        return Ok(None);
    }
    let messages = rows.into_iter().filter_map(|row| {
        Some(LogRow {
            lane: lane(row.lane?),
            id: row.id?,
            transaction: u64::try_from(row.transaction?).unwrap_or(0),
            created_at: to_timestamp(row.created_at?),
            key: row.key,
            headers: log::headers(row.headers),
            payload: log::payload(row.payload?),
        })
    });
    Ok(Some(messages.collect()))
}

/// The snapshots of those of these ticks that exist.
pub(crate) async fn snapshots(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    ticks: &[i64],
) -> Result<Vec<(i64, Snapshot)>> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        ticks.into_sql::<Array<BigInt>>(),
    );
    let rows: Vec<(i64, String)> = call::<(BigInt, Text), _>("tick_snapshots", binds)
        .load(connection)
        .await
        .reading()?;
    rows.into_iter()
        .map(|(tick, text)| Ok((tick, snapshot(&text)?)))
        .collect()
}

pub(super) fn snapshot(text: &str) -> Result<Snapshot> {
    text.parse().map_err(|_| corrupt("snapshot", &text))
}

/// A lane as the database holds it.
pub(super) fn number(lane: Lane) -> i16 {
    i16::try_from(lane.0).unwrap_or(i16::MAX)
}

/// A lane as it came from the database.
pub(super) fn lane(number: i16) -> Lane {
    Lane(u16::try_from(number).unwrap_or(0))
}
