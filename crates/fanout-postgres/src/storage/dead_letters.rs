//! Dead letters.

use diesel::data_types::PgTimestamp;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{DeadLetter, GroupName, Message, MessageId, Result, TopicName};

use super::log::{headers, payload};
use super::time::to_timestamp;
use crate::error::ResultExt;
use crate::schema::outbox_dead_letters as dead_letters;

#[derive(Queryable, Selectable)]
#[diesel(table_name = dead_letters)]
struct Row {
    id: i64,
    group_name: String,
    attempts: i32,
    reason: String,
    last_error: Option<String>,
    dead_at: PgTimestamp,
    created_at: PgTimestamp,
    key: Option<String>,
    headers: Option<serde_json::Value>,
    payload: Vec<u8>,
}

/// Reads the dead letters of a topic's name, oldest first; of one group, or of all.
pub(crate) async fn list(
    connection: &mut AsyncPgConnection,
    topic: &TopicName,
    group: Option<&GroupName>,
    limit: usize,
) -> Result<Vec<DeadLetter>> {
    let mut query = dead_letters::table
        .filter(dead_letters::topic_name.eq(topic.as_str()))
        .order(dead_letters::dead_letter_id)
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(Row::as_select())
        .into_boxed();
    if let Some(group) = group {
        query = query.filter(dead_letters::group_name.eq(group.as_str()));
    }
    let rows: Vec<Row> = query.load(connection).await.reading()?;
    rows.into_iter()
        .map(|row| {
            Ok(DeadLetter {
                message: Message {
                    topic: topic.clone(),
                    id: MessageId(row.id),
                    key: row.key,
                    headers: headers(row.headers),
                    payload: payload(row.payload),
                    created_at: to_timestamp(row.created_at),
                },
                group: GroupName::new(&row.group_name)?,
                attempts: u32::try_from(row.attempts).unwrap_or(0),
                reason: row.reason.parse()?,
                last_error: row.last_error,
                dead_at: to_timestamp(row.dead_at),
            })
        })
        .collect()
}
