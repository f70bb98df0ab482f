//! A database with a mistake in it.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, BackendExt, CompletionMode, GroupName, ManualClock, Member, Result, Topic,
    TopicConfig, TopicName,
};
use fanout_postgres::{Migrator, PostgresBackend};
use fanout_testpg::TestDatabase;
use tokio_postgres::Client;

/// The default lease and more.
pub(crate) const BEYOND_LEASES: Duration = Duration::from_secs(3600);

/// One topic on a database of its own, which is migrated while the mistake is in force.
pub(crate) struct Place {
    pub(crate) backend: PostgresBackend,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) topic: Topic,
    database: TestDatabase,
}

impl Place {
    pub(crate) async fn open(mode: CompletionMode) -> Self {
        let database = TestDatabase::empty().await.expect("a database can be made");
        Migrator::new(database.url()).up().await.expect("migrates");
        let clock = Arc::new(ManualClock::default());
        let backend = connect(&database, &clock).await;
        let name = TopicName::new("topic").expect("a valid name");
        let config = TopicConfig {
            completion_mode: mode,
            lanes: 1,
            ..TopicConfig::default()
        };
        let topic = backend.create_topic(&name, config).await.expect("creates");
        Self {
            backend,
            clock,
            topic,
            database,
        }
    }

    /// The engine as another process has it.
    pub(crate) async fn process(&self) -> PostgresBackend {
        connect(&self.database, &self.clock).await
    }

    /// A plain connection.
    pub(crate) async fn client(&self) -> Client {
        fanout_tests::postgres::connect(self.database.url()).await
    }

    pub(crate) async fn subscribe(&self) -> Result<GroupName> {
        let group = GroupName::new("group")?;
        self.backend
            .subscribe_from_now(&self.topic.name, &group)
            .await?;
        Ok(group)
    }

    pub(crate) async fn join(
        &self,
        process: &PostgresBackend,
        group: &GroupName,
    ) -> Result<Arc<dyn Member>> {
        process.join_group(&self.topic.name, group).await
    }

    pub(crate) async fn pending(&self) -> Result<u64> {
        let stats = self.backend.stats(&self.topic.name).await?;
        Ok(stats.iter().map(|group| group.pending).sum())
    }
}

async fn connect(database: &TestDatabase, clock: &Arc<ManualClock>) -> PostgresBackend {
    PostgresBackend::builder(database.url())
        .pool_size(4)
        .clock(clock.clone())
        .connect()
        .await
        .expect("the engine opens")
}

/// Waits until a session waits for another one's lock.
pub(crate) async fn until_blocked(watcher: &Client, pid: i32) {
    let sql = "SELECT cardinality(pg_blocking_pids($1)) > 0";
    while !watcher
        .query_one(sql, &[&pid])
        .await
        .expect("reads")
        .get::<_, bool>(0)
    {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn pid(client: &Client) -> i32 {
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    row.expect("reads").get(0)
}
