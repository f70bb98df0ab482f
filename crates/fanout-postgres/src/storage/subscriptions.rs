//! Subscriptions.

use std::collections::{BTreeMap, BTreeSet};

use diesel::data_types::{PgInterval, PgTimestamp};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{
    Backoff, GroupIndex, GroupName, MessageId, Result, StartPosition, Subscribe, Subscription,
    SubscriptionId, SubscriptionOptions, SubscriptionStatus, Timestamp, Topic, TopicId, TopicName,
};

use super::beginnings;
use super::call::call;
use super::fns::time_or_now;
use super::group_bits::{bit, group_index};
use super::time::{from_duration, from_timestamp, to_duration, to_timestamp};
use crate::error::{ResultExt, corrupt};
use crate::schema::{outbox_seeks as seeks, outbox_topic_subscriptions as subscriptions};

#[derive(Queryable, Selectable)]
#[diesel(table_name = subscriptions)]
struct Row {
    subscription_id: i64,
    group_name: String,
    group_index: i16,
    status: String,
    ordering: String,
    on_failure: String,
    lease: PgInterval,
    max_attempts: i32,
    max_stalls: i32,
    backoff_initial: PgInterval,
    backoff_max: PgInterval,
    backoff_multiplier: f64,
    backoff_jitter: f64,
    heartbeat_interval: PgInterval,
    heartbeat_timeout: PgInterval,
    start_position: String,
    start_id: Option<i64>,
    start_at: Option<PgTimestamp>,
    subscribed_at: PgTimestamp,
    status_changed_at: PgTimestamp,
    last_heartbeat_at: PgTimestamp,
}

impl Row {
    fn into_subscription(self, topic: &TopicName) -> Result<Subscription> {
        let start = match (self.start_position.as_str(), self.start_id, self.start_at) {
            ("from-now", ..) => StartPosition::FromNow,
            ("from-beginning", ..) => StartPosition::FromBeginning,
            ("from-message", Some(id), _) => StartPosition::FromMessage(MessageId(id)),
            ("from-timestamp", _, Some(at)) => StartPosition::FromTimestamp(to_timestamp(at)),
            _ => return Err(corrupt("start position", &self.start_position)),
        };
        Ok(Subscription {
            id: SubscriptionId(self.subscription_id),
            topic: topic.clone(),
            group: GroupName::new(&self.group_name)?,
            group_index: group_index(self.group_index)?,
            status: self
                .status
                .parse()
                .map_err(|_| corrupt("subscription status", &self.status))?,
            start,
            options: SubscriptionOptions {
                ordering: self.ordering.parse()?,
                on_failure: self.on_failure.parse()?,
                lease: to_duration(self.lease),
                max_attempts: u32::try_from(self.max_attempts).unwrap_or(1),
                max_stalls: u32::try_from(self.max_stalls).unwrap_or(1),
                backoff: Backoff::new()
                    .with_initial(to_duration(self.backoff_initial))
                    .with_max(to_duration(self.backoff_max))
                    .with_multiplier(self.backoff_multiplier)
                    .with_jitter(self.backoff_jitter),
                heartbeat_interval: to_duration(self.heartbeat_interval),
                heartbeat_timeout: to_duration(self.heartbeat_timeout),
            },
            subscribed_at: to_timestamp(self.subscribed_at),
            status_changed_at: to_timestamp(self.status_changed_at),
            last_heartbeat_at: to_timestamp(self.last_heartbeat_at),
        })
    }
}

#[derive(AsChangeset, Insertable)]
#[diesel(table_name = subscriptions)]
struct Options {
    ordering: &'static str,
    on_failure: &'static str,
    lease: PgInterval,
    max_attempts: i32,
    max_stalls: i32,
    backoff_initial: PgInterval,
    backoff_max: PgInterval,
    backoff_multiplier: f64,
    backoff_jitter: f64,
    heartbeat_interval: PgInterval,
    heartbeat_timeout: PgInterval,
}

impl From<&SubscriptionOptions> for Options {
    fn from(options: &SubscriptionOptions) -> Self {
        Self {
            ordering: options.ordering.as_str(),
            on_failure: options.on_failure.as_str(),
            lease: from_duration(options.lease),
            max_attempts: i32::try_from(options.max_attempts).unwrap_or(i32::MAX),
            max_stalls: i32::try_from(options.max_stalls).unwrap_or(i32::MAX),
            backoff_initial: from_duration(options.backoff.initial),
            backoff_max: from_duration(options.backoff.max),
            backoff_multiplier: options.backoff.multiplier,
            backoff_jitter: options.backoff.jitter,
            heartbeat_interval: from_duration(options.heartbeat_interval),
            heartbeat_timeout: from_duration(options.heartbeat_timeout),
        }
    }
}

/// Serialises the changes of a topic's subscriptions until the transaction ends.
pub(crate) async fn lock_membership(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<()> {
    use diesel::sql_types::Integer;
    call::<(), _>("lock_membership", (topic.0.into_sql::<Integer>(),))
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Reads a group's latest subscription, cancelled or not.
pub(crate) async fn latest(
    connection: &mut AsyncPgConnection,
    topic: &Topic,
    group: &GroupName,
) -> Result<Option<Subscription>> {
    subscriptions::table
        .filter(subscriptions::topic_id.eq(topic.id.0))
        .filter(subscriptions::group_name.eq(group.as_str()))
        .order(subscriptions::subscription_id.desc())
        .select(Row::as_select())
        .first(connection)
        .await
        .optional()
        .reading()?
        .map(|row| row.into_subscription(&topic.name))
        .transpose()
}

/// Reads a subscription of a topic; none when the topic is gone.
pub(crate) async fn get(
    connection: &mut AsyncPgConnection,
    topic: &TopicName,
    id: SubscriptionId,
) -> Result<Option<Subscription>> {
    subscriptions::table
        .find(id.0)
        .select(Row::as_select())
        .first(connection)
        .await
        .optional()
        .reading()?
        .map(|row| row.into_subscription(topic))
        .transpose()
}

/// A subscription's bit, while it is live; none when it has ended. No answer: it is unknown, as are those of
/// topics that were deleted.
pub(crate) async fn bit_of(
    connection: &mut AsyncPgConnection,
    id: SubscriptionId,
) -> Result<Option<Option<GroupIndex>>> {
    let found: Option<(String, i16)> = subscriptions::table
        .find(id.0)
        .select((subscriptions::status, subscriptions::group_index))
        .first(connection)
        .await
        .optional()
        .reading()?;
    found
        .map(|(status, bit)| {
            (status != "CANCELLED")
                .then(|| group_index(bit))
                .transpose()
        })
        .transpose()
}

/// Reads all subscriptions of a topic, by group and age.
pub(crate) async fn list(
    connection: &mut AsyncPgConnection,
    topic: &Topic,
) -> Result<Vec<Subscription>> {
    let rows: Vec<Row> = subscriptions::table
        .filter(subscriptions::topic_id.eq(topic.id.0))
        .order((subscriptions::group_name, subscriptions::subscription_id))
        .select(Row::as_select())
        .load(connection)
        .await
        .reading()?;
    rows.into_iter()
        .map(|row| row.into_subscription(&topic.name))
        .collect()
}

/// The name of a start position, and the id or time that goes with it.
type Start = (&'static str, Option<i64>, Option<PgTimestamp>);

fn start_columns(start: StartPosition) -> Start {
    match start {
        StartPosition::FromNow => ("from-now", None, None),
        StartPosition::FromBeginning => ("from-beginning", None, None),
        StartPosition::FromMessage(id) => ("from-message", Some(id.0), None),
        StartPosition::FromTimestamp(at) => ("from-timestamp", None, Some(from_timestamp(at))),
    }
}

/// Gives a subscription another bit.
pub(crate) async fn change_bit(
    connection: &mut AsyncPgConnection,
    id: SubscriptionId,
    to: GroupIndex,
) -> Result<()> {
    diesel::update(subscriptions::table.find(id.0))
        .set(subscriptions::group_index.eq(bit(to)))
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Writes the audit row of a seek that has begun.
pub(crate) async fn record_seek(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    before: &Subscription,
    to: GroupIndex,
    position: StartPosition,
    now: Option<Timestamp>,
) -> Result<()> {
    let start = beginnings::start(connection, before.id).await?;
    diesel::insert_into(seeks::table)
        .values((
            seeks::topic_id.eq(topic.0),
            seeks::subscription_id.eq(before.id.0),
            seeks::group_name.eq(before.group.as_str()),
            seeks::position.eq(start_columns(position).0),
            seeks::start_id.eq(start.owed_from.map(|id| id.0)),
            seeks::tick.eq(start.tick),
            seeks::former_group_index.eq(bit(before.group_index)),
            seeks::group_index.eq(bit(to)),
            seeks::sought_at.eq(time_or_now(now.map(from_timestamp))),
        ))
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// The bits of a topic's live groups by name.
pub(crate) async fn live_bits(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<BTreeMap<GroupName, GroupIndex>> {
    let rows: Vec<(String, i16)> = subscriptions::table
        .filter(subscriptions::topic_id.eq(topic.0))
        .filter(subscriptions::status.ne(SubscriptionStatus::Cancelled.as_str()))
        .select((subscriptions::group_name, subscriptions::group_index))
        .load(connection)
        .await
        .reading()?;
    rows.into_iter()
        .map(|(name, bit)| Ok((GroupName::new(&name)?, group_index(bit)?)))
        .collect()
}

/// Writes a new subscription. It is owed nothing before it [begins](begin_at).
pub(crate) async fn insert(
    connection: &mut AsyncPgConnection,
    topic: &Topic,
    group: &GroupName,
    index: GroupIndex,
    subscribe: &Subscribe,
    now: Option<Timestamp>,
) -> Result<Subscription> {
    let now = now.map(from_timestamp);
    let (position, from_id, from_time) = start_columns(subscribe.start);
    diesel::insert_into(subscriptions::table)
        .values((
            subscriptions::topic_id.eq(topic.id.0),
            subscriptions::group_name.eq(group.as_str()),
            subscriptions::group_index.eq(bit(index)),
            subscriptions::status.eq(SubscriptionStatus::Active.as_str()),
            Options::from(&subscribe.options),
            subscriptions::start_position.eq(position),
            subscriptions::start_id.eq(from_id),
            subscriptions::start_at.eq(from_time),
            subscriptions::subscribed_at.eq(time_or_now(now)),
            subscriptions::status_changed_at.eq(time_or_now(now)),
            subscriptions::last_heartbeat_at.eq(time_or_now(now)),
        ))
        .returning(Row::as_returning())
        .get_result(connection)
        .await
        .reading()?
        .into_subscription(&topic.name)
}

/// Replaces a subscription's options.
pub(crate) async fn set_options(
    connection: &mut AsyncPgConnection,
    id: SubscriptionId,
    options: &SubscriptionOptions,
) -> Result<()> {
    diesel::update(subscriptions::table.find(id.0))
        .set(Options::from(options))
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Changes a subscription's status.
pub(crate) async fn set_status(
    connection: &mut AsyncPgConnection,
    id: SubscriptionId,
    status: SubscriptionStatus,
    now: Option<Timestamp>,
) -> Result<()> {
    diesel::update(subscriptions::table.find(id.0))
        .set((
            subscriptions::status.eq(status.as_str()),
            subscriptions::status_changed_at.eq(time_or_now(now.map(from_timestamp))),
        ))
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Notes a sign of life.
pub(crate) async fn beat(
    connection: &mut AsyncPgConnection,
    id: SubscriptionId,
    now: Option<Timestamp>,
) -> Result<()> {
    diesel::update(subscriptions::table.find(id.0))
        .set(subscriptions::last_heartbeat_at.eq(time_or_now(now.map(from_timestamp))))
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Whose these subscriptions are, or were; those of deleted topics are unknown.
pub(crate) async fn groups(
    connection: &mut AsyncPgConnection,
    ids: BTreeSet<SubscriptionId>,
) -> Result<BTreeMap<SubscriptionId, (TopicId, GroupName)>> {
    let rows: Vec<(i64, i32, String)> = subscriptions::table
        .filter(subscriptions::subscription_id.eq_any(ids.into_iter().map(|id| id.0)))
        .select((
            subscriptions::subscription_id,
            subscriptions::topic_id,
            subscriptions::group_name,
        ))
        .load(connection)
        .await
        .reading()?;
    rows.into_iter()
        .map(|(id, topic, name)| {
            let group = GroupName::new(&name)?;
            Ok((SubscriptionId(id), (TopicId(topic), group)))
        })
        .collect()
}

/// Notes a sign of life of a live subscription, in one statement; none when it has ended or died.
pub(crate) async fn beat_alive(
    connection: &mut AsyncPgConnection,
    topic: &TopicName,
    id: SubscriptionId,
    now: Option<Timestamp>,
) -> Result<Option<Subscription>> {
    let rows: Vec<Row> = diesel::update(
        subscriptions::table
            .find(id.0)
            .filter(subscriptions::status.eq_any(["ACTIVE", "PAUSED"])),
    )
    .set(subscriptions::last_heartbeat_at.eq(time_or_now(now.map(from_timestamp))))
    .returning(Row::as_returning())
    .load(connection)
    .await
    .committing()?;
    rows.into_iter()
        .next()
        .map(|row| row.into_subscription(topic))
        .transpose()
}
