//! The reader that everybody writes first, and that loses messages.

use std::collections::BTreeSet;

use fanout_core::{MessageId, TopicId};
use tokio_postgres::Client;

/// Reads the log by `id > last`, as if ids committed in order.
#[derive(Debug)]
pub(crate) struct IdAboveLast {
    client: Client,
    topic: i32,
    last: i64,
    seen: BTreeSet<MessageId>,
}

impl IdAboveLast {
    pub(crate) fn new(client: Client, topic: TopicId) -> Self {
        Self {
            client,
            topic: topic.0,
            last: 0,
            seen: BTreeSet::new(),
        }
    }

    /// Reads a batch; tells how many messages it got.
    pub(crate) async fn turn(&mut self) -> usize {
        let rows = self
            .client
            .query(
                "SELECT id FROM fanout.outbox WHERE topic_id = $1 AND id > $2 ORDER BY id LIMIT 100",
                &[&self.topic, &self.last],
            )
            .await
            .expect("reads");
        for row in &rows {
            self.last = row.get(0);
            self.seen.insert(MessageId(self.last));
        }
        rows.len()
    }

    pub(crate) fn seen(&self) -> &BTreeSet<MessageId> {
        &self.seen
    }
}
