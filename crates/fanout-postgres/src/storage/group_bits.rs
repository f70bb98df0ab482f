//! The bits of a topic's groups.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{
    Error, ErrorKind, GroupIndex, GroupName, MAX_GROUPS, Result, SubscriptionId, Topic, TopicId,
};

use super::call::call;
use crate::error::{ResultExt, corrupt};
use crate::schema::{
    consumer_group_index as bits, outbox_consumer_groups as tracking, outbox_seeks as seeks,
};

/// A group's bit as it came from the database.
pub(crate) fn group_index(bit: i16) -> Result<GroupIndex> {
    u16::try_from(bit)
        .map(GroupIndex)
        .map_err(|_| corrupt("group index", &bit))
}

/// A group's bit as the database holds it.
pub(crate) fn bit(group: GroupIndex) -> i16 {
    i16::try_from(group.0).unwrap_or(i16::MAX)
}

/// Gives a group a bit: the lowest freed one below which the log was dropped, or a new one. A subscription that
/// moves never gets one that it had before: its members know by the bit that it has moved. The caller has locked
/// the membership.
pub(crate) async fn allocate(
    connection: &mut AsyncPgConnection,
    topic: &Topic,
    group: &GroupName,
    moved: Option<SubscriptionId>,
) -> Result<GroupIndex> {
    let freed: Option<i16> = bits::table
        .filter(bits::topic_id.eq(topic.id.0))
        .filter(bits::released)
        .filter(bits::freed_id.le(topic.dropped_id.0))
        .filter(diesel::dsl::not(diesel::dsl::exists(
            tracking::table
                .filter(tracking::topic_id.eq(topic.id.0))
                .filter(tracking::group_index.eq(bits::group_index)),
        )))
        .filter(diesel::dsl::not(diesel::dsl::exists(
            seeks::table
                .filter(seeks::subscription_id.nullable().eq(moved.map(|id| id.0)))
                .filter(seeks::former_group_index.eq(bits::group_index)),
        )))
        .order(bits::group_index)
        .select(bits::group_index)
        .first(connection)
        .await
        .optional()
        .reading()?;
    if let Some(bit) = freed {
        diesel::update(bits::table.find((topic.id.0, bit)))
            .set((
                bits::group_name.eq(group.as_str()),
                bits::released.eq(false),
                bits::freed_id.eq(None::<i64>),
            ))
            .execute(connection)
            .await
            .reading()?;
        return group_index(bit);
    }
    let highest: Option<i16> = bits::table
        .filter(bits::topic_id.eq(topic.id.0))
        .select(diesel::dsl::max(bits::group_index))
        .first(connection)
        .await
        .reading()?;
    let next = highest.map_or(0, |highest| highest + 1);
    if next >= i16::try_from(MAX_GROUPS).unwrap_or(i16::MAX) {
        return Err(Error::new(
            ErrorKind::CapacityExceeded,
            format!(
                "topic has no bit left for another subscription or seek topic=`{}` group=`{group}` limit=`{MAX_GROUPS}`",
                topic.name
            ),
        ));
    }
    diesel::insert_into(bits::table)
        .values((
            bits::topic_id.eq(topic.id.0),
            bits::group_index.eq(next),
            bits::group_name.eq(group.as_str()),
        ))
        .execute(connection)
        .await
        .reading()?;
    group_index(next)
}

/// Frees a group's name for a later subscription, which gets another bit.
pub(crate) async fn release(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
    group: GroupIndex,
) -> Result<()> {
    diesel::update(bits::table.find((topic.0, bit(group))))
        .set(bits::released.eq(true))
        .execute(connection)
        .await
        .reading()?;
    Ok(())
}

/// Notes for each released bit of a topic the id above which no message can carry it. Runs after the
/// release committed.
pub(crate) async fn free(connection: &mut AsyncPgConnection, topic: TopicId) -> Result<()> {
    use diesel::sql_types::Integer;
    call::<(), _>("free_bits", (topic.0.into_sql::<Integer>(),))
        .execute(connection)
        .await
        .committing()?;
    Ok(())
}

/// The names of a topic's groups by bit, those of released bits included.
pub(crate) async fn names(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<BTreeMap<u16, GroupName>> {
    let rows: Vec<(i16, String)> = bits::table
        .filter(bits::topic_id.eq(topic.0))
        .select((bits::group_index, bits::group_name))
        .load(connection)
        .await
        .reading()?;
    rows.into_iter()
        .map(|(bit, name)| Ok((group_index(bit)?.0, GroupName::new(&name)?)))
        .collect()
}

/// The released bits of a topic that may still have rows.
pub(crate) async fn released(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> Result<Vec<GroupIndex>> {
    let rows: Vec<i16> = bits::table
        .filter(bits::topic_id.eq(topic.0))
        .filter(bits::released)
        .filter(diesel::dsl::exists(
            tracking::table
                .filter(tracking::topic_id.eq(topic.0))
                .filter(tracking::group_index.eq(bits::group_index)),
        ))
        .select(bits::group_index)
        .load(connection)
        .await
        .reading()?;
    rows.into_iter().map(group_index).collect()
}
