//! Settlements inside callers' transactions.

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{CursorReceipt, GroupIndex, Result, SubscriptionId, Timestamp, TopicId};

use super::call::{call, only};
use super::group_bits::{bit, group_index};
use super::ticks::number;
use super::time::from_timestamp;
use crate::error::ResultExt;
use crate::schema::outbox_settlements as settlements;

/// Settles messages, distinct and ascending, in the transaction that the connection is in: all, or
/// an error.
pub(crate) async fn settle_in(
    connection: &mut AsyncPgConnection,
    subscription: SubscriptionId,
    ids: &[i64],
    tokens: &[i64],
) -> Result<()> {
    let binds = (
        subscription.0.into_sql::<BigInt>(),
        ids.into_sql::<Array<BigInt>>(),
        tokens.into_sql::<Array<BigInt>>(),
    );
    call::<(), _>("settle_in", binds)
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Settles messages that are read by cursor in the transaction that the connection is in, each with its
/// lane and the lane's epoch, and after all of `earlier`: all, or an error. They are distinct and ascending.
pub(crate) async fn settle_lanes_in(
    connection: &mut AsyncPgConnection,
    subscription: SubscriptionId,
    receipts: &[CursorReceipt],
    earlier: &[i64],
) -> Result<()> {
    let ids: Vec<i64> = receipts.iter().map(|receipt| receipt.id.0).collect();
    let lanes: Vec<i16> = receipts
        .iter()
        .map(|receipt| number(receipt.lane))
        .collect();
    let epochs: Vec<i64> = receipts.iter().map(|receipt| receipt.epoch).collect();
    let binds = (
        subscription.0.into_sql::<BigInt>(),
        ids.into_sql::<Array<BigInt>>(),
        lanes.into_sql::<Array<SmallInt>>(),
        epochs.into_sql::<Array<BigInt>>(),
        earlier.into_sql::<Array<BigInt>>(),
    );
    call::<(), _>("settle_lanes_in", binds)
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Puts settlements of messages read by cursor right that no owner of a lane will meet; returns how many.
pub(crate) async fn sweep_lanes(connection: &mut AsyncPgConnection, topic: TopicId) -> Result<u64> {
    let swept: i64 = call::<BigInt, _>("sweep_lane_settlements", (topic.0.into_sql::<Integer>(),))
        .load(connection)
        .await
        .and_then(only)
        .committing()?;
    Ok(u64::try_from(swept).unwrap_or(0))
}

/// Moves up to `limit` committed settlements of a group into the accounting; returns how many.
pub(crate) async fn fold(
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
    let rows: i64 = call::<BigInt, _>("fold", binds)
        .load(connection)
        .await
        .and_then(only)
        .committing()?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// The groups of a topic, ended ones included, that have settlements to fold.
pub(crate) async fn unfolded(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<Vec<GroupIndex>> {
    let bits: Vec<i16> = settlements::table
        .filter(settlements::topic_id.eq(topic.0))
        .select(settlements::group_index)
        .distinct()
        .order(settlements::group_index)
        .load(connection)
        .await
        .reading()?;
    bits.into_iter().map(group_index).collect()
}
