//! Where subscriptions begin, and what they catch up on.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{MessageId, Result, StartPosition, SubscriptionId, SubscriptionStatus, TopicId};

use super::call::{call, only};
use super::time::from_timestamp;
use crate::error::ResultExt;
use crate::schema::outbox_topic_subscriptions as subscriptions;

/// Where a subscription's cursors begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    pub(crate) tick: i64,
    pub(crate) owed_from: Option<MessageId>,
}

/// Where a subscription is to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The tick that tells what was before.
    pub(crate) tick: i64,
    /// What the tick does not see lies above this id.
    pub(crate) decided: i64,
    /// What lies at or above this id is owed, whether the tick sees it or not.
    pub(crate) owed_from: Option<MessageId>,
}

/// The id that a position stands for as of a tick, if it is owed anything that the tick sees. It may read
/// much of the log.
pub(crate) async fn start_id(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    tick: i64,
    position: StartPosition,
) -> Result<Option<MessageId>> {
    use diesel::sql_types::{Integer, Nullable, Timestamptz};
    let at = match position {
        StartPosition::FromNow => return Ok(None),
        StartPosition::FromBeginning => return Ok(Some(MessageId(0))),
        StartPosition::FromMessage(id) => return Ok(Some(id)),
        StartPosition::FromTimestamp(at) => from_timestamp(at),
    };
    let binds = (
        topic.0.into_sql::<Integer>(),
        tick.into_sql::<BigInt>(),
        at.into_sql::<Timestamptz>(),
    );
    let id: Option<i64> = call::<Nullable<BigInt>, _>("start_id", binds)
        .load(connection)
        .await
        .and_then(only)
        .reading()?;
    Ok(id.map(MessageId))
}

/// Lets a subscription begin; false when the tick is gone.
pub(crate) async fn begin_at(
    connection: &mut AsyncPgConnection,
    id: SubscriptionId,
    moment: Moment,
) -> Result<bool> {
    use diesel::sql_types::Nullable;
    let owed_from = moment.owed_from.map(|id| id.0);
    let binds = (
        id.0.into_sql::<BigInt>(),
        moment.tick.into_sql::<BigInt>(),
        moment.decided.into_sql::<BigInt>(),
        owed_from.into_sql::<Nullable<BigInt>>(),
    );
    call::<Bool, _>("begin_at", binds)
        .load(connection)
        .await
        .and_then(only)
        .reading()
}

/// Where a subscription's cursors begin.
pub(crate) async fn start(
    connection: &mut AsyncPgConnection,
    id: SubscriptionId,
) -> Result<Beginning> {
    let (tick, owed_from) = subscriptions::table
        .find(id.0)
        .select((subscriptions::start_tick, subscriptions::owed_from_id))
        .first::<(i64, Option<i64>)>(connection)
        .await
        .reading()?;
    let owed_from = owed_from.map(MessageId);
    Ok(Beginning { tick, owed_from })
}

/// The subscriptions of a topic that may lack messages of publishers that were open when they began.
pub(crate) async fn catching_up(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<Vec<SubscriptionId>> {
    let rows: Vec<i64> = subscriptions::table
        .filter(subscriptions::topic_id.eq(topic.0))
        .filter(subscriptions::status.ne(SubscriptionStatus::Cancelled.as_str()))
        .filter(diesel::dsl::not(subscriptions::caught_up))
        .select(subscriptions::subscription_id)
        .load(connection)
        .await
        .reading()?;
    Ok(rows.into_iter().map(SubscriptionId).collect())
}

/// What one step of catching up did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CaughtUp {
    /// The subscription has everything.
    pub(crate) done: bool,
    /// How many messages this step gave it.
    pub(crate) added: i64,
}

/// One step of catching up, of at most `limit` messages.
pub(crate) async fn catch_up(
    connection: &mut AsyncPgConnection,
    id: SubscriptionId,
    limit: i32,
) -> Result<CaughtUp> {
    use diesel::sql_types::Integer;
    let binds = (id.0.into_sql::<BigInt>(), limit.into_sql::<Integer>());
    let (done, added) = call::<(Bool, BigInt), _>("catch_up", binds)
        .load(connection)
        .await
        .and_then(only)
        .committing()?;
    Ok(CaughtUp { done, added })
}

/// Catches up as far as publishers have ended; tells whether it is done.
pub(crate) async fn catch_up_now(
    connection: &mut AsyncPgConnection,
    id: SubscriptionId,
    limit: i32,
) -> Result<bool> {
    loop {
        let step = catch_up(connection, id, limit).await?;
        if step.done || step.added == 0 {
            return Ok(step.done);
        }
    }
}
