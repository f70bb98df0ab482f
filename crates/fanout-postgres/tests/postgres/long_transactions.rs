//! Another long transaction delays nothing.

use fanout_core::{Backend, CompletionMode, MemberExt, MessageId, NewMessage, OnFailure, Ordering};
use tokio_postgres::Client;

use crate::readers::{HANG, MODES, join, maintain, subscribe, topic_in};
use crate::support::{connect, migrated, open, topic, value};

/// Publishes, delivers to three groups with failures, and settles all of it, again and again.
async fn nothing_is_delayed_beside(begin: &[&str], mode: CompletionMode) {
    let database = migrated().await;
    let backend = open(&database).await;
    topic_in(&backend, "t", mode).await;
    topic_in(&backend, "other", mode).await;
    let client = connect(database.url()).await;
    client
        .batch_execute("CREATE TABLE business (n int); INSERT INTO business VALUES (1)")
        .await
        .expect("executes");
    let long = connect(database.url()).await;
    for statement in begin {
        long.batch_execute(statement).await.expect(statement);
    }
    let groups = [
        ("unordered", Ordering::Unordered, OnFailure::Park),
        ("parking", Ordering::PerKey, OnFailure::Park),
        ("blocking", Ordering::PerKey, OnFailure::Block),
    ];
    let mut members = Vec::new();
    for (name, ordering, on_failure) in groups {
        subscribe(&backend, "t", name, ordering, on_failure).await;
        members.push(join(&backend, "t", name).await);
    }
    for round in 0..10 {
        let batch: Vec<_> = (0..30)
            .map(|n| NewMessage::new("m").key(format!("{}", n % 7)))
            .collect();
        let ids = backend
            .publish(&topic("t"), batch)
            .await
            .expect("publishes");
        let last = ids[29];
        for member in &members {
            let (mut settled, mut failed) = (0, 0);
            let settling = async {
                while settled < 30 {
                    let deliveries = member.fetch(12).await.expect("fetches").deliveries;
                    if let Some(first) = deliveries.first().filter(|d| d.attempt == 1 && failed < 3)
                    {
                        failed += 1;
                        member.fail(first, "at first").await.expect("fails");
                    }
                    settled += member.done_all(&deliveries).await.expect("settles");
                    tokio::task::yield_now().await;
                }
            };
            let end = tokio::time::timeout(HANG, settling).await;
            assert!(
                end.is_ok(),
                "{begin:?}, {mode}: {settled} of 30 were settled"
            );
        }
        if round % 3 == 0 {
            maintain(&backend).await;
            let watermark = backend.watermark(&topic("t")).await.expect("reads");
            assert!(
                watermark.id >= last,
                "{begin:?}, {mode}: {watermark:?} of {last}"
            );
        }
    }
    let stats = backend.stats(&topic("t")).await.expect("reads");
    assert!(stats.iter().all(|group| group.pending == 0), "{stats:?}");
    must_still_be_open(&long).await;
}

/// The transaction was there all the time.
async fn must_still_be_open(long: &Client) {
    let age = "SELECT now() < statement_timestamp()";
    assert!(value::<bool>(long, age).await, "it is a new transaction");
    long.batch_execute("COMMIT")
        .await
        .expect("it is still open");
}

const READER: &[&str] = &[
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "SELECT count(*) FROM business",
    "SELECT count(*) FROM fanout.outbox",
    "SELECT count(*) FROM fanout.outbox_subscription_offsets",
];

const WRITER: &[&str] = &["BEGIN", "UPDATE business SET n = n + 1", "SELECT 1"];

const PUBLISHER_OF_ANOTHER_TOPIC: &[&str] = &[
    "BEGIN",
    "SELECT fanout.publish('other', ARRAY['x'::bytea])",
    "SELECT 1",
];

#[tokio::test]
async fn a_long_reader_delays_nothing() {
    for mode in MODES {
        nothing_is_delayed_beside(READER, mode).await;
    }
}

#[tokio::test]
async fn a_long_writer_of_another_table_delays_nothing() {
    for mode in MODES {
        nothing_is_delayed_beside(WRITER, mode).await;
    }
}

#[tokio::test]
async fn a_long_publisher_of_another_topic_delays_nothing() {
    for mode in MODES {
        nothing_is_delayed_beside(PUBLISHER_OF_ANOTHER_TOPIC, mode).await;
    }
}

/// One of the same topic keeps the watermark, and nothing else.
#[tokio::test]
async fn a_long_publisher_of_the_same_topic_delays_only_the_watermark() {
    for mode in MODES {
        let database = migrated().await;
        let backend = open(&database).await;
        topic_in(&backend, "t", mode).await;
        subscribe(&backend, "t", "g", Ordering::PerKey, OnFailure::Block).await;
        let member = join(&backend, "t", "g").await;
        let long = connect(database.url()).await;
        backend
            .publish(&topic("t"), vec![NewMessage::new("first")])
            .await
            .unwrap();
        maintain(&backend).await;
        long.batch_execute("BEGIN; SELECT fanout.publish('t', ARRAY['late'::bytea], ARRAY['k'])")
            .await
            .unwrap();
        let batch = vec![NewMessage::new("m").key("k"); 20];
        backend.publish(&topic("t"), batch).await.unwrap();
        crate::readers::drain(&member, 7, 21).await;
        maintain(&backend).await;
        let watermark = backend.watermark(&topic("t")).await.unwrap();
        assert_eq!(
            (watermark.id, watermark.decided),
            (MessageId(1), MessageId(1))
        );
        long.batch_execute("COMMIT").await.unwrap();
        let late = crate::readers::drain(&member, 7, 1).await;
        assert!(late.contains(&MessageId(2)));
        member.leave().await.unwrap();
        maintain(&backend).await;
        let watermark = backend.watermark(&topic("t")).await.unwrap();
        assert_eq!(watermark.id, MessageId(22));
    }
}
