//! Topics.

use diesel::data_types::{PgInterval, PgTimestamp};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{
    CompletionMode, MessageId, Result, Timestamp, Topic, TopicConfig, TopicId, TopicName,
};

use super::call::{call, only};
use super::fns::time_or_now;
use super::time::{from_duration, from_timestamp, to_duration, to_timestamp};
use crate::error::{ResultExt, corrupt, topic_not_found};
use crate::schema::{outbox_topic_storage as stores, outbox_topics as topics};

#[derive(Queryable, Selectable)]
#[diesel(table_name = topics)]
struct Row {
    topic_id: i32,
    name: String,
    semantics: String,
    completion_mode: String,
    lanes: i16,
    message_retention: PgInterval,
    zero_subscription_retention: PgInterval,
    block_writes_on_zero_subscriptions: bool,
    max_retention: PgInterval,
    partition_interval: PgInterval,
    audit: bool,
    created_at: PgTimestamp,
    dropped_id: i64,
}

impl TryFrom<Row> for Topic {
    type Error = fanout_core::Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: TopicId(row.topic_id),
            name: TopicName::new(&row.name)?,
            config: TopicConfig {
                semantics: row.semantics.parse()?,
                completion_mode: row.completion_mode.parse()?,
                lanes: u16::try_from(row.lanes)
                    .map_err(|_| corrupt("number of lanes", &row.lanes))?,
                message_retention: to_duration(row.message_retention),
                zero_subscription_retention: to_duration(row.zero_subscription_retention),
                block_writes_on_zero_subscriptions: row.block_writes_on_zero_subscriptions,
                max_retention: to_duration(row.max_retention),
                partition_interval: to_duration(row.partition_interval),
                audit: row.audit,
            },
            created_at: to_timestamp(row.created_at),
            dropped_id: MessageId(row.dropped_id),
        })
    }
}

/// What may change of a topic.
#[derive(AsChangeset)]
#[diesel(table_name = topics)]
struct Changes {
    message_retention: PgInterval,
    zero_subscription_retention: PgInterval,
    block_writes_on_zero_subscriptions: bool,
    max_retention: PgInterval,
    partition_interval: PgInterval,
    audit: bool,
}

impl From<&TopicConfig> for Changes {
    fn from(config: &TopicConfig) -> Self {
        Self {
            message_retention: from_duration(config.message_retention),
            zero_subscription_retention: from_duration(config.zero_subscription_retention),
            block_writes_on_zero_subscriptions: config.block_writes_on_zero_subscriptions,
            max_retention: from_duration(config.max_retention),
            partition_interval: from_duration(config.partition_interval),
            audit: config.audit,
        }
    }
}

/// Writes a topic's row; a name that is taken is an error.
pub(crate) async fn insert(
    connection: &mut AsyncPgConnection,
    name: &TopicName,
    config: &TopicConfig,
    now: Option<Timestamp>,
) -> Result<Topic> {
    diesel::insert_into(topics::table)
        .values((
            topics::name.eq(name.as_str()),
            topics::semantics.eq(config.semantics.as_str()),
            topics::completion_mode.eq(config.completion_mode.as_str()),
            topics::lanes.eq(i16::try_from(config.lanes).unwrap_or(i16::MAX)),
            topics::message_retention.eq(from_duration(config.message_retention)),
            topics::zero_subscription_retention
                .eq(from_duration(config.zero_subscription_retention)),
            topics::block_writes_on_zero_subscriptions
                .eq(config.block_writes_on_zero_subscriptions),
            topics::max_retention.eq(from_duration(config.max_retention)),
            topics::partition_interval.eq(from_duration(config.partition_interval)),
            topics::audit.eq(config.audit),
            topics::created_at.eq(time_or_now(now.map(from_timestamp))),
        ))
        .returning(Row::as_returning())
        .get_result(connection)
        .await
        .reading()?
        .try_into()
}

/// Makes a topic's sequence, tables, hot functions and first leaves.
pub(crate) async fn create_storage(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<()> {
    let binds = (topic.0.into_sql::<diesel::sql_types::Integer>(),);
    call::<(), _>("create_topic_storage", binds)
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Makes the built-in subscription of a queue topic.
pub(crate) async fn create_queue_subscription(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    now: Option<Timestamp>,
) -> Result<()> {
    use diesel::sql_types::{Integer, Nullable, Timestamptz};
    let binds = (
        topic.0.into_sql::<Integer>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    call::<(), _>("create_queue_subscription", binds)
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Reads a topic.
pub(crate) async fn get(connection: &mut AsyncPgConnection, name: &TopicName) -> Result<Topic> {
    topics::table
        .filter(topics::name.eq(name.as_str()))
        .select(Row::as_select())
        .first(connection)
        .await
        .optional()
        .reading()?
        .ok_or_else(|| topic_not_found(name))?
        .try_into()
}

/// Reads a topic and keeps it from changing or going until the transaction ends.
pub(crate) async fn get_for_update(
    connection: &mut AsyncPgConnection,
    name: &TopicName,
) -> Result<Topic> {
    topics::table
        .filter(topics::name.eq(name.as_str()))
        .select(Row::as_select())
        .for_update()
        .first(connection)
        .await
        .optional()
        .reading()?
        .ok_or_else(|| topic_not_found(name))?
        .try_into()
}

/// Reads a topic and keeps it from going, and its `dropped_id` from moving, until the transaction ends.
pub(crate) async fn get_for_share(
    connection: &mut AsyncPgConnection,
    name: &TopicName,
) -> Result<Topic> {
    topics::table
        .filter(topics::name.eq(name.as_str()))
        .select(Row::as_select())
        .for_share()
        .first(connection)
        .await
        .optional()
        .reading()?
        .ok_or_else(|| topic_not_found(name))?
        .try_into()
}

/// Reads all topics, by name.
pub(crate) async fn list(connection: &mut AsyncPgConnection) -> Result<Vec<Topic>> {
    let rows: Vec<Row> = topics::table
        .order(topics::name)
        .select(Row::as_select())
        .load(connection)
        .await
        .reading()?;
    rows.into_iter().map(Topic::try_from).collect()
}

/// Changes what may change of a topic.
pub(crate) async fn update(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    config: &TopicConfig,
) -> Result<()> {
    diesel::update(topics::table.find(topic.0))
        .set(Changes::from(config))
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Changes how a topic's new messages are accounted for. One statement, which locks the row no more than
/// it must: publishers above READ COMMITTED keep it from going until they end.
pub(crate) async fn set_mode(
    connection: &mut AsyncPgConnection,
    name: &TopicName,
    mode: CompletionMode,
) -> Result<Topic> {
    let changed: Vec<Row> = diesel::update(topics::table.filter(topics::name.eq(name.as_str())))
        .set(topics::completion_mode.eq(mode.as_str()))
        .returning(Row::as_returning())
        .load(connection)
        .await
        .reading()?;
    let changed = changed.into_iter().next();
    changed.ok_or_else(|| topic_not_found(name))?.try_into()
}

/// Locks a topic's log and accounting against everybody.
pub(crate) async fn lock_storage(connection: &mut AsyncPgConnection, topic: TopicId) -> Result<()> {
    let binds = (topic.0.into_sql::<diesel::sql_types::Integer>(),);
    call::<(), _>("lock_topic_storage", binds)
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Empties a topic's log and accounting, which the caller has locked, and removes its row.
pub(crate) async fn delete(connection: &mut AsyncPgConnection, topic: TopicId) -> Result<()> {
    let binds = (topic.0.into_sql::<diesel::sql_types::Integer>(),);
    call::<(), _>("truncate_topic_storage", binds)
        .execute(connection)
        .await
        .reading()?;
    diesel::delete(topics::table.find(topic.0))
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Drops the tables of a deleted topic, unless that would make anybody wait; tells whether it did.
pub(crate) async fn drop_storage(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<bool> {
    use diesel::sql_types::{Bool, Integer};
    call::<Bool, _>("drop_topic_storage", (topic.0.into_sql::<Integer>(),))
        .load(connection)
        .await
        .and_then(only)
        .committing()
}

/// The deleted topics whose tables still exist.
pub(crate) async fn deleted(connection: &mut AsyncPgConnection) -> Result<Vec<TopicId>> {
    let ids: Vec<i32> = stores::table
        .filter(diesel::dsl::not(
            stores::topic_id.eq_any(topics::table.select(topics::topic_id)),
        ))
        .select(stores::topic_id)
        .load(connection)
        .await
        .reading()?;
    Ok(ids.into_iter().map(TopicId).collect())
}
