//! The Postgres engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fanout_core::{ManualClock, TopicName};
use fanout_postgres::PostgresBackend;
use fanout_testpg::TestDatabase;

use fanout_tests::acceptor::{Checked, Ending, Violation};
use fanout_tests::coverage::Seen;
use fanout_tests::driver;
use fanout_tests::history::History;
use fanout_tests::modes::Modes;
use fanout_tests::postgres::migrated;
use fanout_tests::reader::Channel;
use fanout_tests::subject::topic_names;
use fanout_tests::terms::Terms;

/// A history that takes longer hangs: most likely a statement waits for an open transaction.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Postgres engine on a database of its own. Each history has topics of its own.
#[derive(Debug)]
pub(crate) struct Postgres {
    backend: PostgresBackend,
    clock: Arc<ManualClock>,
    histories: AtomicU32,
    /// Last, so that it goes after the connections to it.
    _database: TestDatabase,
}

impl Postgres {
    pub(crate) async fn start() -> Self {
        let database = migrated().await;
        let clock = Arc::new(ManualClock::default());
        let backend = PostgresBackend::builder(database.url())
            .pool_size(6)
            // What they leave alone for a while of real time would not be drained.
            .rest(Duration::MAX, Duration::ZERO)
            .clock(clock.clone())
            .connect()
            .await
            .expect("the engine opens a migrated database");
        Self {
            backend,
            clock,
            histories: AtomicU32::new(0),
            _database: database,
        }
    }

    pub(crate) async fn run(&self, history: &History, modes: Modes) -> Checked<(Ending, Seen)> {
        let number = self.histories.fetch_add(1, Ordering::Relaxed);
        let topics = topic_names(number);
        let run = driver::run(
            &self.backend,
            &self.clock,
            &topics,
            Terms::postgres(modes),
            history,
        );
        let ended = tokio::time::timeout(PATIENCE, run)
            .await
            .unwrap_or_else(|_| Err(Violation::new("the history hangs")));
        if ended.is_err() {
            self.discard(&topics).await;
        }
        ended
    }

    /// A failed history leaves its topics, and shrinking would pile them up.
    async fn discard(&self, topics: &BTreeMap<Channel, TopicName>) {
        use fanout_core::{Backend, DeleteTopic};
        for topic in topics.values() {
            // It is gone already, or it was never made.
            let _ = self.backend.delete_topic(topic, DeleteTopic::Forced).await;
        }
    }
}
