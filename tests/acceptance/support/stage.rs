//! A database with a topic on it.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, BackendExt, Backoff, CompletionMode, GroupName, ManualClock, Member, OnFailure,
    Ordering, SubscriptionOptions, Timestamp, Topic, TopicConfig, TopicName,
};
use fanout_postgres::PostgresBackend;
use fanout_testpg::TestDatabase;
use fanout_tests::postgres::{connect, migrated};
use tokio_postgres::Client;

/// The lease of all groups here.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// Options that never give a message up; a failed one is due at once.
pub(crate) fn options(ordering: Ordering, on_failure: OnFailure) -> SubscriptionOptions {
    SubscriptionOptions {
        ordering,
        on_failure,
        lease: LEASE,
        max_attempts: 1_000_000,
        max_stalls: 1_000_000,
        backoff: Backoff {
            initial: Duration::ZERO,
            max: Duration::ZERO,
            ..Backoff::default()
        },
        ..SubscriptionOptions::default()
    }
}

/// A database of the test's own, with one topic.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    /// Of every process here; leases end when the test says so.
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) topic: Topic,
    /// For what is no consumer's or publisher's business.
    pub(crate) backend: PostgresBackend,
}

impl Stage {
    pub(crate) async fn new(mode: CompletionMode) -> Self {
        let database = migrated().await;
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(
            1_700_000_000_000_000,
        )));
        let backend = open(&database, &clock, 4).await;
        let config = TopicConfig {
            completion_mode: mode,
            ..TopicConfig::default()
        };
        let name = TopicName::new("topic").expect("a valid name");
        let topic = backend
            .create_topic(&name, config)
            .await
            .expect("creates a topic");
        Self {
            database,
            clock,
            topic,
            backend,
        }
    }

    /// The engine as another process has it: with a pool of its own.
    pub(crate) async fn process(&self, connections: usize) -> PostgresBackend {
        open(&self.database, &self.clock, connections).await
    }

    /// A plain connection.
    pub(crate) async fn connect(&self) -> Client {
        connect(self.database.url()).await
    }

    pub(crate) async fn subscribe(&self, group: &str, options: SubscriptionOptions) {
        self.backend
            .subscribe(&self.topic.name, &group_name(group), options.into())
            .await
            .expect("subscribes");
    }

    pub(crate) async fn join(&self, process: &PostgresBackend, group: &str) -> Arc<dyn Member> {
        process
            .join_group(&self.topic.name, &group_name(group))
            .await
            .expect("joins")
    }

    /// How much all groups owe together.
    pub(crate) async fn pending(&self) -> u64 {
        let stats = self.backend.stats(&self.topic.name).await.expect("reads");
        stats.iter().map(|group| group.pending).sum()
    }

    /// Ends all leases, those of lanes included.
    pub(crate) fn end_leases(&self) {
        self.clock.advance(2 * LEASE);
    }
}

async fn open(
    database: &TestDatabase,
    clock: &Arc<ManualClock>,
    connections: usize,
) -> PostgresBackend {
    PostgresBackend::builder(database.url())
        .pool_size(connections)
        .clock(clock.clone())
        .connect()
        .await
        .expect("the engine opens")
}

pub(crate) fn group_name(group: &str) -> GroupName {
    GroupName::new(group).expect("a valid name")
}
