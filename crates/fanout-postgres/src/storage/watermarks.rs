//! Up to where topics are settled, and what follows from it.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, SmallInt, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{GroupIndex, MessageId, Result, Timestamp, TopicId, Watermark};

use super::call::{call, only};
use super::group_bits::bit;
use super::time::{from_timestamp, to_timestamp};
use crate::error::ResultExt;
use crate::schema::outbox_topic_watermarks as watermarks;

/// What was last recorded.
pub(crate) async fn get(connection: &mut AsyncPgConnection, topic: TopicId) -> Result<Watermark> {
    let (id, decided, updated_at) = watermarks::table
        .find(topic.0)
        .select((
            watermarks::watermark_id,
            watermarks::decided_id,
            watermarks::updated_at,
        ))
        .first(connection)
        .await
        .reading()?;
    Ok(Watermark {
        id: MessageId(id),
        decided: MessageId(decided),
        updated_at: to_timestamp(updated_at),
    })
}

/// Records it anew; tells whether it moved.
pub(crate) async fn refresh(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    now: Option<Timestamp>,
) -> Result<bool> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    call::<Bool, _>("refresh_watermark", binds)
        .load(connection)
        .await
        .and_then(only)
        .committing()
}

/// One step of the decided id.
pub(crate) async fn decide(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<Option<i64>> {
    call::<Nullable<BigInt>, _>("decide", (topic.0.into_sql::<Integer>(),))
        .load(connection)
        .await
        .and_then(only)
        .committing()
}

/// Merges up to `limit` ticks that nobody needs into later ones; returns how many.
pub(crate) async fn merge_ticks(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    limit: i32,
) -> Result<u64> {
    let binds = (topic.0.into_sql::<Integer>(), limit.into_sql::<Integer>());
    let merged: i64 = call::<BigInt, _>("merge_ticks", binds)
        .load(connection)
        .await
        .and_then(only)
        .committing()?;
    Ok(u64::try_from(merged).unwrap_or(0))
}

/// The lowest message that any group which counts owes by its cursors.
pub(crate) async fn lowest_owed_by_cursor(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<Option<MessageId>> {
    let lowest: Option<i64> =
        call::<Nullable<BigInt>, _>("lowest_owed_by_cursor", (topic.0.into_sql::<Integer>(),))
            .load(connection)
            .await
            .and_then(only)
            .reading()?;
    Ok(lowest.map(MessageId))
}

/// How many messages a group, or all that count, owe by their cursors.
pub(crate) async fn count_owed_by_cursor(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: Option<GroupIndex>,
) -> Result<u64> {
    let binds = (
        topic.0.into_sql::<Integer>(),
        group.map(bit).into_sql::<Nullable<SmallInt>>(),
    );
    let owed: i64 = call::<BigInt, _>("count_owed_by_cursor", binds)
        .load(connection)
        .await
        .and_then(only)
        .reading()?;
    Ok(u64::try_from(owed).unwrap_or(0))
}
