//! A database with one topic, which is made as new for each interleaving.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, Backoff, CompletionMode, GroupName, ManualClock, SubscriptionOptions, Timestamp,
    Topic, TopicConfig, TopicName,
};
use fanout_postgres::PostgresBackend;
use fanout_postgres::diesel_async::AsyncPgConnection;
use fanout_postgres::diesel_async::pooled_connection::deadpool::Pool;
use fanout_postgres::diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use fanout_testpg::TestDatabase;
use fanout_tests::postgres::{connect, migrated};
use tokio_postgres::Client;

use crate::facts::Facts;
use crate::sql;
use crate::step::Group;

const LEASE: Duration = Duration::from_secs(30);
/// Beyond all leases, those of lanes included.
pub(crate) const EXPIRY: Duration = Duration::from_secs(60);
/// After how many interleavings the tables are swept.
const SWEEP_EVERY: usize = 150;

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) database: TestDatabase,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) topic: Topic,
    /// For what no session does.
    pub(crate) judge: PostgresBackend,
    /// Looks on.
    pub(crate) observer: Client,
    renewed: usize,
}

impl Stage {
    /// `lanes` are few where sessions are to meet in them.
    pub(crate) async fn new(lanes: u16, flaw: Option<&crate::planted::Flaw>) -> Self {
        let database = migrated().await;
        let setter = connect(database.url()).await;
        let shorter = sql::shorten_deadlocks(database.name());
        setter.batch_execute(&shorter).await.expect("sets");
        setter.batch_execute(sql::PREPARE).await.expect("prepares");
        if let Some(flaw) = flaw {
            flaw.plant(&setter).await;
        }
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(
            1_700_000_000_000_000,
        )));
        let judge = open(connections(database.url(), 2), &clock).await;
        let name = TopicName::new("topic").expect("a valid name");
        let config = TopicConfig {
            lanes,
            ..TopicConfig::default()
        };
        let topic = judge.create_topic(&name, config).await.expect("creates");
        // Connected after the settings of the database have changed.
        let observer = connect(database.url()).await;
        Self {
            database,
            clock,
            topic,
            judge,
            observer,
            renewed: 0,
        }
    }

    pub(crate) fn expire(&self) {
        self.clock.advance(EXPIRY);
    }

    /// Makes the topic as new.
    pub(crate) async fn renew(&mut self, mode: CompletionMode) {
        if self.renewed.is_multiple_of(SWEEP_EVERY) {
            let swept = self.observer.batch_execute(sql::sweep()).await;
            swept.expect("sweeps");
        }
        self.renewed += 1;
        let renewed = self
            .observer
            .execute(sql::RENEW, &[&self.topic.id.0, &mode.as_str()])
            .await;
        renewed.expect("renews");
    }

    pub(crate) async fn facts(&self) -> Facts {
        let row = self
            .observer
            .query_one(sql::FACTS, &[&self.topic.id.0])
            .await
            .expect("reads the facts");
        Facts::parse(row.get(0))
    }
}

/// Options that never give a message up; a failed one is due at once.
pub(crate) fn options(group: Group) -> SubscriptionOptions {
    SubscriptionOptions {
        ordering: group.ordering(),
        on_failure: group.on_failure(),
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

pub(crate) fn group_name(group: Group) -> GroupName {
    GroupName::new(group.name()).expect("a valid name")
}

/// Connections of a process.
pub(crate) fn connections(url: &str, count: usize) -> Pool<AsyncPgConnection> {
    let mut config = ManagerConfig::<AsyncPgConnection>::default();
    config.recycling_method = RecyclingMethod::Fast;
    let manager = AsyncDieselConnectionManager::new_with_config(url, config);
    let pool = Pool::builder(manager).max_size(count).build();
    pool.expect("a pool can be built")
}

/// The engine as a process has it.
pub(crate) async fn open(
    pool: Pool<AsyncPgConnection>,
    clock: &Arc<ManualClock>,
) -> PostgresBackend {
    PostgresBackend::builder("")
        .clock(clock.clone())
        .connect_with(pool)
        .await
        .expect("the engine opens")
}

/// A URL whose connections are known by their name.
pub(crate) fn named(url: &str, name: &str) -> String {
    if !url.contains("://") {
        return format!("{url} application_name={name}");
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}application_name={name}")
}
