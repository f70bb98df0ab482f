//! Databases for the tests.

use fanout_postgres::{Migrator, PostgresBackend};
use fanout_testpg::{Template, TestDatabase};

/// A database of the test's own, with the schema in place.
pub(crate) async fn migrated() -> TestDatabase {
    let schema = concat!(
        include_str!("../../migrations/0001_base_queue/up.sql"),
        include_str!("../../migrations/0010_fan_out/up.sql")
    );
    let template = Template::new("fanout", schema, |url| async move {
        Migrator::new(url).up().await.map(drop)
    });
    TestDatabase::create(&template).await.expect("a database can be made")
}

/// The engine on a database.
pub(crate) async fn open(database: &TestDatabase) -> PostgresBackend {
    PostgresBackend::connect(database.url()).await.expect("the engine opens")
}
