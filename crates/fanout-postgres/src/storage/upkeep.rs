//! Reads for maintenance.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use fanout_core::{Result, TopicId};

use crate::error::ResultExt;
use crate::schema::outbox_topics as topics;

/// All topics.
pub(crate) async fn topics(connection: &mut AsyncPgConnection) -> Result<Vec<TopicId>> {
    let ids: Vec<i32> = topics::table
        .select(topics::topic_id)
        .order(topics::topic_id)
        .load(connection)
        .await
        .reading()?;
    Ok(ids.into_iter().map(TopicId).collect())
}
