//! Databases for the tests.

use fanout_core::{Backend, BackendExt, GroupName, Member, NewMessage, TopicConfig, TopicName};
use fanout_postgres::{Migrator, PostgresBackend};
use fanout_testpg::{Template, TestDatabase};
use std::sync::Arc;
use tokio_postgres::{Client, NoTls};

/// A database of the test's own, with the schema in place.
pub(crate) async fn migrated() -> TestDatabase {
    let schema = concat!(
        include_str!("../../migrations/0001_base_queue/up.sql"),
        include_str!("../../migrations/0010_fan_out/up.sql"),
        include_str!("../../migrations/0011_offset_watermark/up.sql")
    );
    let template = Template::new("fanout", schema, |url| async move {
        Migrator::new(url).up().await.map(drop)
    });
    TestDatabase::create(&template)
        .await
        .expect("a database can be made")
}

/// The engine on a database.
pub(crate) async fn open(database: &TestDatabase) -> PostgresBackend {
    PostgresBackend::connect(database.url())
        .await
        .expect("the engine opens")
}

/// A plain connection, for what the engine does not offer.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("it connects");
    tokio::spawn(connection);
    client
}

/// The single value of a query without parameters.
pub(crate) async fn value<T>(client: &Client, query: &str) -> T
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    client.query_one(query, &[]).await.expect(query).get(0)
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).expect("a valid name")
}

pub(crate) fn group(name: &str) -> GroupName {
    GroupName::new(name).expect("a valid name")
}

pub(crate) fn messages(count: usize) -> Vec<NewMessage> {
    (0..count)
        .map(|n| NewMessage::new(format!("message {n}")))
        .collect()
}

/// A topic with one group from now on, and a member of it.
pub(crate) async fn topic_with_group(backend: &PostgresBackend, name: &str) -> Arc<dyn Member> {
    backend
        .create_topic(&topic(name), TopicConfig::default())
        .await
        .expect("creates");
    backend
        .subscribe_from_now(&topic(name), &group("g"))
        .await
        .expect("subscribes");
    backend
        .join_group(&topic(name), &group("g"))
        .await
        .expect("joins")
}
