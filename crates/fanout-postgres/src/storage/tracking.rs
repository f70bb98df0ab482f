//! Tracking rows: leasing, settling, failing.

use std::time::Duration;

use diesel::data_types::{PgInterval, PgTimestamp};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Integer, Interval, Jsonb, Nullable, SmallInt, Text, Timestamptz,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{
    DeadReason, GroupIndex, MessageId, Result, Scope, SubscriptionId, SubscriptionStatus,
    Timestamp, TopicId,
};

use super::call::{call, only};
use super::group_bits::bit;
use super::time::{from_duration, from_timestamp, to_timestamp};
use crate::error::{ResultExt, corrupt};
use crate::schema::{
    outbox_consumer_groups as rows, outbox_settlements as settlements,
    outbox_topic_subscriptions as subscriptions,
};

/// Tracking rows of a topic's groups that count, without those whose settlement waits to be folded.
macro_rules! owed_rows {
    ($topic:expr) => {
        rows::table
            .filter(rows::topic_id.eq($topic.0))
            .filter(diesel::dsl::exists(
                subscriptions::table
                    .filter(subscriptions::topic_id.eq($topic.0))
                    .filter(subscriptions::group_index.eq(rows::group_index))
                    .filter(subscriptions::status.eq_any(["ACTIVE", "PAUSED"])),
            ))
            .filter(diesel::dsl::not(diesel::dsl::exists(
                settlements::table
                    .filter(settlements::topic_id.eq($topic.0))
                    .filter(settlements::group_index.eq(rows::group_index))
                    .filter(settlements::id.eq(rows::id)),
            )))
    };
}

/// One leased message.
pub(crate) struct Leased {
    pub(crate) id: MessageId,
    pub(crate) failures: u32,
    pub(crate) stalls: u32,
    pub(crate) token: i64,
    pub(crate) until: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) key: Option<String>,
    pub(crate) headers: fanout_core::Headers,
    pub(crate) payload: bytes::Bytes,
}

/// What a claim found.
pub(crate) struct Claim {
    pub(crate) status: SubscriptionStatus,
    /// Whether new messages of the topic are tracked.
    pub(crate) tracks: bool,
    /// Settlements of callers' transactions wait to be folded.
    pub(crate) unfolded: bool,
    /// Publishers that were open when the subscription began have not all ended.
    pub(crate) catching_up: bool,
    pub(crate) leased: Vec<Leased>,
}

type ClaimColumns = (
    Text,
    Bool,
    Bool,
    Bool,
    Nullable<BigInt>,
    Nullable<Timestamptz>,
    Nullable<BigInt>,
    Nullable<Integer>,
    Nullable<Integer>,
    Nullable<Timestamptz>,
    Nullable<Text>,
    Nullable<Jsonb>,
    Nullable<Bytea>,
);

#[derive(Queryable)]
struct ClaimRow {
    status: String,
    tracks: bool,
    unfolded: bool,
    catching_up: bool,
    token: Option<i64>,
    until: Option<PgTimestamp>,
    id: Option<i64>,
    failures: Option<i32>,
    stalls: Option<i32>,
    created_at: Option<PgTimestamp>,
    key: Option<String>,
    headers: Option<serde_json::Value>,
    payload: Option<Vec<u8>>,
}

impl ClaimRow {
    /// None for the row that only tells the status.
    fn leased(self) -> Option<Leased> {
        Some(Leased {
            id: MessageId(self.id?),
            failures: u32::try_from(self.failures?).unwrap_or(0),
            stalls: u32::try_from(self.stalls?).unwrap_or(0),
            token: self.token?,
            until: to_timestamp(self.until?),
            created_at: to_timestamp(self.created_at?),
            key: self.key,
            headers: super::log::headers(self.headers),
            payload: super::log::payload(self.payload?),
        })
    }
}

/// Leases up to `limit` due messages above `floor`, lowest first.
pub(crate) async fn claim(
    connection: &mut AsyncPgConnection,
    scope: &Scope,
    floor: i64,
    limit: usize,
    now: Option<Timestamp>,
) -> Result<Claim> {
    let binds = (
        scope.subscription.0.into_sql::<BigInt>(),
        bit(scope.group).into_sql::<SmallInt>(),
        floor.into_sql::<BigInt>(),
        i32::try_from(limit)
            .unwrap_or(i32::MAX)
            .into_sql::<Integer>(),
        from_duration(scope.options.lease).into_sql::<Interval>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let rows: Vec<ClaimRow> = call::<ClaimColumns, _>(format!("claim_{}", scope.topic), binds)
        .load(connection)
        .await
        .committing()?;
    // A claim always returns a row. (diesel's prelude has another `first`.)
    let first = rows[..]
        .first()
        .ok_or_else(|| corrupt("answer to a claim", &"no row"))?;
    Ok(Claim {
        status: first
            .status
            .parse()
            .map_err(|_| corrupt("subscription status", &first.status))?,
        tracks: first.tracks,
        unfolded: first.unfolded,
        catching_up: first.catching_up,
        leased: rows.into_iter().filter_map(ClaimRow::leased).collect(),
    })
}

/// What a settlement achieved.
pub(crate) struct Settled {
    pub(crate) applied: Vec<i64>,
    /// Left alone, because their completion records were locked. Empty when it waited.
    pub(crate) conflicted: Vec<i64>,
}

/// Settles messages, distinct and ascending, whose leases still carry the tokens.
pub(crate) async fn settle(
    connection: &mut AsyncPgConnection,
    scope: &Scope,
    ids: &[i64],
    tokens: &[i64],
    wait: bool,
    now: Option<Timestamp>,
) -> Result<Settled> {
    let binds = (
        scope.subscription.0.into_sql::<BigInt>(),
        bit(scope.group).into_sql::<SmallInt>(),
        ids.into_sql::<Array<BigInt>>(),
        tokens.into_sql::<Array<BigInt>>(),
        wait.into_sql::<Bool>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let (applied, conflicted) =
        call::<(Array<BigInt>, Array<BigInt>), _>(format!("settle_{}", scope.topic), binds)
            .load(connection)
            .await
            .and_then(only)
            .committing()?;
    Ok(Settled {
        applied,
        conflicted,
    })
}

/// Reports failures; returns when each message whose lease still held is due again.
pub(crate) async fn fail(
    connection: &mut AsyncPgConnection,
    scope: &Scope,
    ids: &[i64],
    tokens: &[i64],
    delays: &[Duration],
    errors: &[String],
    now: Option<Timestamp>,
) -> Result<Vec<(i64, Timestamp)>> {
    let delays: Vec<PgInterval> = delays.iter().copied().map(from_duration).collect();
    let binds = (
        scope.subscription.0.into_sql::<BigInt>(),
        scope.topic.0.into_sql::<Integer>(),
        bit(scope.group).into_sql::<SmallInt>(),
        ids.into_sql::<Array<BigInt>>(),
        tokens.into_sql::<Array<BigInt>>(),
        delays.into_sql::<Array<Interval>>(),
        errors.into_sql::<Array<Text>>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let rows: Vec<(i64, PgTimestamp)> = call::<(BigInt, Timestamptz), _>("fail", binds)
        .load(connection)
        .await
        .committing()?;
    Ok(rows
        .into_iter()
        .map(|(id, due)| (id, to_timestamp(due)))
        .collect())
}

/// Gives messages back; returns those whose lease still held.
pub(crate) async fn release(
    connection: &mut AsyncPgConnection,
    scope: &Scope,
    ids: &[i64],
    tokens: &[i64],
) -> Result<Vec<i64>> {
    let binds = (
        scope.subscription.0.into_sql::<BigInt>(),
        scope.topic.0.into_sql::<Integer>(),
        bit(scope.group).into_sql::<SmallInt>(),
        ids.into_sql::<Array<BigInt>>(),
        tokens.into_sql::<Array<BigInt>>(),
    );
    call::<BigInt, _>("release", binds)
        .load(connection)
        .await
        .committing()
}

/// Moves the end of leases; returns the new one of each message and token whose lease still held.
pub(crate) async fn extend(
    connection: &mut AsyncPgConnection,
    scope: &Scope,
    ids: &[i64],
    tokens: &[i64],
    by: Duration,
    now: Option<Timestamp>,
) -> Result<Vec<((i64, i64), Timestamp)>> {
    let binds = (
        scope.subscription.0.into_sql::<BigInt>(),
        scope.topic.0.into_sql::<Integer>(),
        bit(scope.group).into_sql::<SmallInt>(),
        ids.into_sql::<Array<BigInt>>(),
        tokens.into_sql::<Array<BigInt>>(),
        from_duration(by).into_sql::<Interval>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let rows: Vec<(i64, i64, PgTimestamp)> =
        call::<(BigInt, BigInt, Timestamptz), _>("extend", binds)
            .load(connection)
            .await
            .committing()?;
    Ok(rows
        .into_iter()
        .map(|(id, token, until)| ((id, token), to_timestamp(until)))
        .collect())
}

/// One message to give up.
#[derive(Debug)]
pub(crate) struct GivenUp {
    pub(crate) id: i64,
    pub(crate) token: i64,
    pub(crate) attempts: u32,
    pub(crate) reason: DeadReason,
    /// What the last failure said; `None` keeps what the row holds.
    pub(crate) error: Option<String>,
}

/// Settles one message as given up, with a copy among the dead letters; tells whether its lease held.
pub(crate) async fn dead_letter(
    connection: &mut AsyncPgConnection,
    subscription: SubscriptionId,
    message: &GivenUp,
    now: Option<Timestamp>,
) -> Result<bool> {
    let binds = (
        subscription.0.into_sql::<BigInt>(),
        message.token.into_sql::<BigInt>(),
        message.id.into_sql::<BigInt>(),
        i32::try_from(message.attempts)
            .unwrap_or(i32::MAX)
            .into_sql::<Integer>(),
        message.reason.as_str().into_sql::<Text>(),
        message.error.as_deref().into_sql::<Nullable<Text>>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    call::<Bool, _>("dead_letter", binds)
        .load(connection)
        .await
        .and_then(only)
        .committing()
}

/// Removes up to `limit` rows of a released bit; returns how many.
pub(crate) async fn reap(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: GroupIndex,
    limit: i32,
    now: Option<Timestamp>,
) -> Result<u64> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        bit(group).into_sql::<SmallInt>(),
        limit.into_sql::<Integer>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let rows: i64 = call::<BigInt, _>("reap", binds)
        .load(connection)
        .await
        .and_then(only)
        .committing()?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// The lowest message above `floor` that a group owes.
pub(crate) async fn lowest_owed(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: GroupIndex,
    floor: i64,
) -> Result<Option<i64>> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        bit(group).into_sql::<SmallInt>(),
        floor.into_sql::<BigInt>(),
    );
    call::<Nullable<BigInt>, _>("lowest_owed", binds)
        .load(connection)
        .await
        .and_then(only)
        .reading()
}

/// What one step towards a decided id saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Publishers {
    /// The highest id that was drawn before the publishers were listed.
    pub(crate) drawn: i64,
    /// The transactions that may still bring an id up to it.
    pub(crate) open: Vec<String>,
    /// Those of the awaited that still may.
    pub(crate) remaining: Vec<String>,
    /// Where the write-ahead log ended after the sequence was read.
    pub(crate) written: i64,
    /// Up to where it was on disk, read last.
    pub(crate) flushed: i64,
}

/// Reads the sequence, then the open publishers.
pub(crate) async fn observe_publishers(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    awaited: &[String],
) -> Result<Publishers> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        awaited.into_sql::<Array<Text>>(),
    );
    let (drawn, open, remaining, written, flushed) =
        call::<(BigInt, Array<Text>, Array<Text>, BigInt, BigInt), _>("observe_publishers", binds)
            .load(connection)
            .await
            .and_then(only)
            .reading()?;
    Ok(Publishers {
        drawn,
        open,
        remaining,
        written,
        flushed,
    })
}

/// The lowest message that any group which counts owes.
pub(crate) async fn lowest_owed_by_any(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<Option<i64>> {
    owed_rows!(topic)
        .select(diesel::dsl::min(rows::id))
        .first(connection)
        .await
        .reading()
}

/// How many messages a group owes.
pub(crate) async fn count_owed(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: GroupIndex,
) -> Result<u64> {
    let count: i64 = owed_rows!(topic)
        .filter(rows::group_index.eq(bit(group)))
        .count()
        .get_result(connection)
        .await
        .reading()?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// How many settlements the groups that count owe together.
pub(crate) async fn count_owed_by_any(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<u64> {
    let count: i64 = owed_rows!(topic)
        .count()
        .get_result(connection)
        .await
        .reading()?;
    Ok(u64::try_from(count).unwrap_or(0))
}
