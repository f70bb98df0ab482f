//! Databases for the tests.

use fanout_core::{
    Backend, BackendExt, CompletionMode, Delivery, GroupName, Member, MemberExt, MessageId,
    NewMessage, Ordering, Subscribe, SubscriptionOptions, TopicConfig, TopicName,
};
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

/// Both ways of accounting.
pub(crate) const MODES: [CompletionMode; 2] = [
    CompletionMode::ReferenceCounting,
    CompletionMode::OffsetWatermark,
];

/// The configuration of a topic in a mode.
pub(crate) fn in_mode(completion_mode: CompletionMode) -> TopicConfig {
    TopicConfig {
        completion_mode,
        ..TopicConfig::default()
    }
}

/// A subscription from now on that wants messages of a key in order.
pub(crate) fn per_key() -> Subscribe {
    SubscriptionOptions {
        ordering: Ordering::PerKey,
        ..SubscriptionOptions::default()
    }
    .into()
}

/// Settles all that a group owes, as a new member, and returns it in the order of delivery.
pub(crate) async fn drain(
    backend: &PostgresBackend,
    topic: &TopicName,
    group: &GroupName,
) -> Vec<Delivery> {
    let member = backend.join_group(topic, group).await.expect("joins");
    let drained = drain_by(backend, &*member).await;
    member.leave().await.expect("leaves");
    drained
}

/// As [`drain`], as this member.
pub(crate) async fn drain_by(backend: &PostgresBackend, member: &dyn Member) -> Vec<Delivery> {
    let of = member.subscription();
    let mut drained = Vec::new();
    // A fetch may be empty before all is delivered.
    let draining = async {
        loop {
            let deliveries = member.fetch(100).await.expect("fetches").deliveries;
            if !deliveries.is_empty() {
                let settled = member.done_all(&deliveries).await.expect("settles");
                assert_eq!(settled, deliveries.len());
            } else if owed(backend, &of.topic, &of.group).await.is_empty() {
                break;
            }
            drained.extend(deliveries);
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), draining)
        .await
        .expect("all that is owed is delivered");
    drained
}

/// Fetches until it has got so many, since a fetch may be short.
pub(crate) async fn take(member: &dyn Member, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    let taking = async {
        while taken.len() < count {
            taken.extend(member.fetch(1000).await.expect("fetches").deliveries);
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), taking)
        .await
        .expect("all is delivered");
    taken
}

/// What a group owes.
pub(crate) async fn owed(
    backend: &PostgresBackend,
    topic: &TopicName,
    group: &GroupName,
) -> Vec<MessageId> {
    backend
        .pending(topic, group, MessageId(0), 1000)
        .await
        .expect("reads")
}

/// What these deliveries hold, sorted.
pub(crate) fn payloads(deliveries: &[Delivery]) -> Vec<String> {
    let mut payloads: Vec<_> = deliveries
        .iter()
        .map(|delivery| String::from_utf8_lossy(&delivery.message.payload).into_owned())
        .collect();
    payloads.sort();
    payloads
}
