//! Reading where groups and messages stand.

use std::collections::BTreeSet;

use diesel::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{
    CompletionMode, GroupBitmap, GroupIndex, GroupName, GroupRemaining, GroupStats,
    MessageAccounting, MessageId, Result, Timestamp, TopicId,
};

use super::call::call;
use super::group_bits::{bit, names};
use super::time::{from_timestamp, to_timestamp};
use crate::error::{ResultExt, corrupt};
use crate::schema::outbox_completions as completions;

type StatsColumns = (
    Text,
    Text,
    BigInt,
    BigInt,
    BigInt,
    Nullable<BigInt>,
    Nullable<Timestamptz>,
    BigInt,
    Timestamptz,
);

#[derive(Queryable)]
struct StatsRow {
    group_name: String,
    status: String,
    pending: i64,
    in_flight: i64,
    delayed: i64,
    lowest: Option<i64>,
    oldest_at: Option<PgTimestamp>,
    dead_letters: i64,
    read_at: PgTimestamp,
}

/// Where every live group of a topic stands, by name.
pub(crate) async fn group_stats(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    now: Option<Timestamp>,
) -> Result<Vec<GroupStats>> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let rows: Vec<StatsRow> = call::<StatsColumns, _>("group_stats", binds)
        .load(connection)
        .await
        .reading()?;
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    rows.into_iter()
        .map(|row| {
            Ok(GroupStats {
                group: GroupName::new(&row.group_name)?,
                status: row
                    .status
                    .parse()
                    .map_err(|_| corrupt("subscription status", &row.status))?,
                pending: count(row.pending),
                in_flight: count(row.in_flight),
                delayed: count(row.delayed),
                lowest_unsettled: row.lowest.map(MessageId),
                oldest_pending_at: row.oldest_at.map(to_timestamp),
                dead_letters: count(row.dead_letters),
                read_at: to_timestamp(row.read_at),
            })
        })
        .collect()
}

/// What every live group owes of the messages that were published under a mode, by name.
pub(crate) async fn remaining(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    mode: CompletionMode,
) -> Result<Vec<GroupRemaining>> {
    let tracked = mode == CompletionMode::ReferenceCounting;
    let binds = (topic.0.into_sql::<Integer>(), tracked.into_sql::<Bool>());
    let rows: Vec<(String, String, i64)> =
        call::<(Text, Text, BigInt), _>("group_remaining", binds)
            .load(connection)
            .await
            .reading()?;
    rows.into_iter()
        .map(|(group, status, messages)| {
            Ok(GroupRemaining {
                group: GroupName::new(&group)?,
                status: status
                    .parse()
                    .map_err(|_| corrupt("subscription status", &status))?,
                messages: u64::try_from(messages).unwrap_or(0),
            })
        })
        .collect()
}

/// The messages above `after` that a group owes, ascending.
pub(crate) async fn pending(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: GroupIndex,
    after: MessageId,
    limit: usize,
) -> Result<Vec<MessageId>> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        bit(group).into_sql::<SmallInt>(),
        after.0.into_sql::<BigInt>(),
        i32::try_from(limit)
            .unwrap_or(i32::MAX)
            .into_sql::<Integer>(),
    );
    let ids: Vec<i64> = call::<BigInt, _>("pending_ids", binds)
        .load(connection)
        .await
        .reading()?;
    Ok(ids.into_iter().map(MessageId).collect())
}

/// Id, required set, completed set, and when the message was completed.
type AccountingRow = (i64, Vec<u8>, Vec<u8>, Option<PgTimestamp>);

/// The completion records above `after`, ascending, with the groups' names.
pub(crate) async fn accounting(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    after: MessageId,
    limit: usize,
) -> Result<Vec<MessageAccounting>> {
    let rows: Vec<AccountingRow> = completions::table
        .filter(completions::topic_id.eq(topic.0))
        .filter(completions::id.gt(after.0))
        .order(completions::id)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select((
            completions::id,
            completions::required_groups_bitmap,
            completions::completed_groups_bitmap,
            completions::completed_at,
        ))
        .load(connection)
        .await
        .reading()?;
    // Read after the rows: a group that subscribed in between has its name here.
    let names = names(connection, topic).await?;
    let groups = |bytes: &[u8]| -> Result<BTreeSet<GroupName>> {
        GroupBitmap::from_bytes(bytes)
            .map_err(|error| corrupt("group index", &error.index))?
            .iter()
            .map(|bit| {
                names
                    .get(&bit)
                    .cloned()
                    .ok_or_else(|| corrupt("group index", &bit))
            })
            .collect()
    };
    rows.into_iter()
        .map(|(id, required, completed, completed_at)| {
            Ok(MessageAccounting {
                id: MessageId(id),
                required: groups(&required)?,
                completed: groups(&completed)?,
                completed_at: completed_at.map(to_timestamp),
            })
        })
        .collect()
}
