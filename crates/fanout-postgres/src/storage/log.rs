//! The log.

use bytes::Bytes;
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Bytea, Integer, Jsonb, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{MessageId, NewMessage, Timestamp, TopicId, TopicName};

use super::call::{call, only};
use super::time::from_timestamp;

/// Publishes a batch in the transaction that the connection is in.
pub(crate) async fn publish(
    connection: &mut AsyncPgConnection,
    topic: &TopicName,
    messages: &[NewMessage],
    now: Option<Timestamp>,
) -> QueryResult<Vec<MessageId>> {
    let payloads: Vec<&[u8]> = messages
        .iter()
        .map(|message| message.payload.as_ref())
        .collect();
    // NULL for a whole column saves building and sending it.
    let keys: Option<Vec<Option<&str>>> = messages
        .iter()
        .any(|message| message.key.is_some())
        .then(|| {
            messages
                .iter()
                .map(|message| message.key.as_deref())
                .collect()
        });
    let headers: Option<Vec<Option<serde_json::Value>>> = messages
        .iter()
        .any(|message| !message.headers.is_empty())
        .then(|| {
            messages
                .iter()
                .map(|message| {
                    (!message.headers.is_empty())
                        .then(|| serde_json::Value::Object(message.headers.0.clone()))
                })
                .collect()
        });
    let binds = (
        topic.as_str().into_sql::<Text>(),
        payloads.into_sql::<Array<Bytea>>(),
        keys.into_sql::<Nullable<Array<Nullable<Text>>>>(),
        headers.into_sql::<Nullable<Array<Nullable<Jsonb>>>>(),
        now.map(from_timestamp).into_sql::<Nullable<Timestamptz>>(),
    );
    let ids: Vec<i64> = call::<Array<BigInt>, _>("publish", binds)
        .load(connection)
        .await
        .and_then(only)?;
    Ok(ids.into_iter().map(MessageId).collect())
}

/// Makes leaves until two stand ready ahead of the sequence; returns how many it made.
pub(crate) async fn ensure_leaves(
    connection: &mut AsyncPgConnection,
    topic: TopicId,
) -> QueryResult<u64> {
    let made: i32 = call::<Integer, _>("ensure_leaves", (topic.0.into_sql::<Integer>(),))
        .load(connection)
        .await
        .and_then(only)?;
    Ok(u64::try_from(made).unwrap_or(0))
}

/// A payload as it comes from the driver.
pub(super) fn payload(bytes: Vec<u8>) -> Bytes {
    Bytes::from(bytes)
}

/// Headers as they come from the driver.
pub(super) fn headers(value: Option<serde_json::Value>) -> fanout_core::Headers {
    match value {
        Some(serde_json::Value::Object(map)) => fanout_core::Headers(map),
        _ => fanout_core::Headers::default(),
    }
}
