//! What only Postgres has of changing a topic's mode: isolation levels, locks, other processes.

use std::collections::BTreeSet;
use std::time::Duration;

use fanout_core::{
    Backend, BackendExt, CompletionMode, ErrorKind, Member, MemberExt, NewMessage, TopicConfig,
    Transactional,
};
use fanout_postgres::PostgresBackend;
use fanout_postgres::diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use fanout_testpg::TestDatabase;

use crate::readers::{HANG, WAITING, until};
use crate::support::{
    MODES, connect, drain, drain_by, group, in_mode, messages, migrated, open, owed, payloads,
    per_key, take, topic, topic_with_group, value,
};

const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

/// A topic with a group of either kind.
async fn with_both_kinds(backend: &PostgresBackend, mode: CompletionMode) {
    let name = topic("t");
    backend.create_topic(&name, in_mode(mode)).await.unwrap();
    backend
        .subscribe_from_now(&name, &group("unordered"))
        .await
        .unwrap();
    backend
        .subscribe(&name, &group("ordered"), per_key())
        .await
        .unwrap();
}

/// A transaction whose snapshot is taken, if it keeps one.
async fn begin(database: &TestDatabase, level: &str) -> AsyncPgConnection {
    let mut tx = AsyncPgConnection::establish(database.url()).await.unwrap();
    tx.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}"))
        .await
        .unwrap();
    tx.batch_execute("SELECT count(*) FROM fanout.outbox")
        .await
        .unwrap();
    tx
}

fn one(payload: &str) -> Vec<NewMessage> {
    vec![NewMessage::new(payload.to_owned()).key("k")]
}

/// A publisher of any isolation level that began before the change publishes before and after it, and
/// commits last.
#[tokio::test]
async fn publishers_of_every_isolation_level_publish_across_a_change() {
    for mode in MODES {
        for level in LEVELS {
            let database = migrated().await;
            let backend = open(&database).await;
            with_both_kinds(&backend, mode).await;
            let name = topic("t");
            let mut tx = begin(&database, level).await;
            backend.publish_in(&mut tx, &name, one("a")).await.unwrap();
            let changed = tokio::time::timeout(HANG, backend.migrate_topic(&name, mode.other()));
            changed.await.expect("it waits for no publisher").unwrap();
            backend.publish(&name, one("b")).await.unwrap();
            backend.publish_in(&mut tx, &name, one("c")).await.unwrap();
            backend
                .subscribe_from_now(&name, &group("late"))
                .await
                .unwrap();
            tx.batch_execute("COMMIT").await.unwrap();
            backend.migrate_topic(&name, mode).await.unwrap();
            backend.publish(&name, one("d")).await.unwrap();
            for (group_name, expected) in [
                ("unordered", &["a", "b", "c", "d"][..]),
                ("ordered", &["a", "b", "c", "d"]),
                ("late", &["a", "c", "d"]),
            ] {
                let drained = drain(&backend, &name, &group(group_name)).await;
                assert_eq!(
                    payloads(&drained),
                    expected,
                    "{mode}, {level}: {group_name}"
                );
            }
            for of in MODES {
                for left in backend.remaining(&name, of).await.unwrap() {
                    assert_eq!(left.messages, 0, "{mode}, {level}, {of}: {left:?}");
                }
            }
        }
    }
}

/// Somebody who changes the mode in a transaction of his own makes no publisher and no consumer wait.
#[tokio::test]
async fn an_open_change_makes_no_publisher_and_no_consumer_wait() {
    for mode in MODES {
        let database = migrated().await;
        let backend = open(&database).await;
        with_both_kinds(&backend, mode).await;
        let name = topic("t");
        // With the leaves that the first message makes due: making them does wait.
        backend.publish(&name, messages(1)).await.unwrap();
        backend.maintain().await.unwrap();
        let client = connect(database.url()).await;
        client
            .batch_execute(&format!(
                "BEGIN; UPDATE fanout.outbox_topics SET completion_mode = '{}'",
                mode.other()
            ))
            .await
            .unwrap();
        let everything = async {
            for level in LEVELS {
                let mut tx = begin(&database, level).await;
                backend
                    .publish_in(&mut tx, &name, messages(2))
                    .await
                    .unwrap();
                tx.batch_execute("COMMIT").await.unwrap();
            }
            for group_name in ["unordered", "ordered"] {
                let member = backend.join_group(&name, &group(group_name)).await.unwrap();
                let taken = take(&*member, 7).await;
                assert_eq!(member.done_all(&taken[..2]).await.unwrap(), 2);
                let mut tx = backend.begin().await.unwrap();
                let receipts: Vec<_> = taken[2..].iter().map(|d| d.receipt).collect();
                backend.settle_in(tx.tx(), &receipts).await.unwrap();
                tx.commit().await.unwrap();
                drain_by(&backend, &*member).await;
                member.leave().await.unwrap();
            }
            backend.maintain().await.unwrap();
            backend.stats(&name).await.unwrap();
        };
        tokio::time::timeout(HANG, everything)
            .await
            .expect("nobody waits for it");
        client.batch_execute("COMMIT").await.unwrap();
        let changed = backend.topic(&name).await.unwrap();
        assert_eq!(changed.config.completion_mode, mode.other());
    }
}

/// One process changes the mode; members of another go on with the hub that they have.
#[tokio::test]
async fn members_of_other_processes_follow() {
    for mode in MODES {
        let database = migrated().await;
        let (consuming, operating) = (open(&database).await, open(&database).await);
        with_both_kinds(&consuming, mode).await;
        let name = topic("t");
        for group_name in ["unordered", "ordered"] {
            let member = consuming
                .join_group(&name, &group(group_name))
                .await
                .unwrap();
            for round in 0..4 {
                operating.publish(&name, messages(3)).await.unwrap();
                // Until it has seen that there is nothing.
                assert!(drain_by(&consuming, &*member).await.len() >= 3, "{round}");
                assert!(member.fetch(10).await.unwrap().deliveries.is_empty());
                let present = operating.topic(&name).await.unwrap().config.completion_mode;
                operating
                    .migrate_topic(&name, present.other())
                    .await
                    .unwrap();
            }
            member.leave().await.unwrap();
        }
    }
}

/// An unordered group whose cursors rest for longer than the test.
async fn resting(database: &TestDatabase) -> (PostgresBackend, std::sync::Arc<dyn Member>) {
    let backend = PostgresBackend::builder(database.url())
        .rest(Duration::ZERO, Duration::from_secs(3600))
        .connect()
        .await
        .unwrap();
    let member = topic_with_group(&backend, "t").await;
    backend.publish(&topic("t"), messages(1)).await.unwrap();
    assert_eq!(drain_by(&backend, &*member).await.len(), 1);
    assert!(member.fetch(10).await.unwrap().deliveries.is_empty());
    (backend, member)
}

async fn publish_untracked(database: &TestDatabase, backend: &PostgresBackend) {
    let mut tx = begin(database, "REPEATABLE READ").await;
    let name = topic("t");
    let published = backend.publish_in(&mut tx, &name, one("untracked"));
    published.await.unwrap();
    tx.batch_execute("COMMIT").await.unwrap();
}

/// The next fetch finds what the new mode brings, also where another process changed it.
#[tokio::test]
async fn a_change_ends_the_rest_of_the_cursors() {
    let database = migrated().await;
    let (backend, member) = resting(&database).await;
    let name = topic("t");
    publish_untracked(&database, &backend).await;
    let nothing = member.fetch(10).await.unwrap().deliveries;
    assert_eq!(nothing, [], "the cursors do rest");
    let operator = open(&database).await;
    operator
        .migrate_topic(&name, CompletionMode::OffsetWatermark)
        .await
        .unwrap();
    assert_eq!(take_some(&*member, 10).await, ["untracked"]);
    operator
        .migrate_topic(&name, CompletionMode::ReferenceCounting)
        .await
        .unwrap();
    operator.publish(&name, one("tracked")).await.unwrap();
    assert_eq!(take_some(&*member, 10).await, ["tracked"]);
}

#[tokio::test]
async fn a_seek_ends_the_rest_of_the_cursors() {
    let database = migrated().await;
    let (backend, member) = resting(&database).await;
    publish_untracked(&database, &backend).await;
    let to = fanout_core::StartPosition::FromBeginning;
    backend.seek(&topic("t"), &group("g"), to).await.unwrap();
    let mut seen = take_some(&*member, 10).await;
    seen.sort_unstable();
    assert_eq!(seen, ["message 0", "untracked"]);
}

/// Who changes the mode waits for whoever keeps the topic's row, but not for ever.
#[tokio::test]
async fn a_change_gives_up_behind_a_topic_that_stays_locked() {
    let database = migrated().await;
    let backend = open(&database).await;
    topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    let lock = "BEGIN; SELECT FROM fanout.outbox_topics FOR SHARE";
    client.batch_execute(lock).await.unwrap();
    let (name, other) = (topic("t"), CompletionMode::OffsetWatermark);
    let changed = tokio::time::timeout(HANG, backend.migrate_topic(&name, other)).await;
    let refused = changed.expect("it ends").expect_err("somebody has the row");
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    client.batch_execute("ROLLBACK").await.unwrap();
    backend.migrate_topic(&name, other).await.unwrap();
}

/// Reading the log for the position comes before anything is locked.
#[tokio::test]
async fn a_start_at_a_time_keeps_the_topic_open_while_it_reads_the_log() {
    let database = migrated().await;
    let backend = open(&database).await;
    let name = topic("t");
    topic_with_group(&backend, "t").await;
    backend.publish(&name, messages(3)).await.unwrap();
    let client = connect(database.url()).await;
    // In a transaction the server would show the same sessions again and again.
    let watcher = connect(database.url()).await;
    // Nobody can read the log.
    let lock = "BEGIN; LOCK TABLE ONLY fanout.outbox_1_1 IN ACCESS EXCLUSIVE MODE";
    client.batch_execute(lock).await.unwrap();
    let at = fanout_core::StartPosition::FromTimestamp(fanout_core::Timestamp::from_micros(0));
    let (late, early) = (group("late"), group("g"));
    let start = fanout_core::Subscribe {
        start: at,
        ..fanout_core::Subscribe::default()
    };
    let both = async {
        tokio::join!(
            backend.subscribe(&name, &late, start),
            backend.seek(&name, &early, at)
        )
    };
    let change = async {
        until(&watcher, WAITING, 2).await;
        backend.pause(&name, &early).await.unwrap();
        backend.resume(&name, &early).await.unwrap();
        backend
            .migrate_topic(&name, CompletionMode::OffsetWatermark)
            .await
            .unwrap();
        client.batch_execute("ROLLBACK").await.unwrap();
    };
    let ((subscribed, sought), ()) =
        tokio::time::timeout(HANG, async { tokio::join!(both, change) })
            .await
            .expect("nobody waits for the reading");
    subscribed.unwrap();
    sought.unwrap();
    for of in [late, early] {
        assert_eq!(owed(&backend, &name, &of).await.len(), 3, "{of}");
    }
}

/// Where tracking rows fill every fetch, messages without rows come between them all the same.
#[tokio::test]
async fn rows_that_fill_every_fetch_do_not_keep_untracked_messages_back() {
    let database = migrated().await;
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "t").await;
    let name = topic("t");
    for change in [false, true] {
        backend.publish(&name, messages(100)).await.unwrap();
        take_some(&*member, 10).await;
        if change {
            backend
                .migrate_topic(&name, CompletionMode::OffsetWatermark)
                .await
                .unwrap();
            backend.publish(&name, one("untracked")).await.unwrap();
            backend
                .migrate_topic(&name, CompletionMode::ReferenceCounting)
                .await
                .unwrap();
        } else {
            publish_untracked(&database, &backend).await;
        }
        let crowded = async {
            let mut seen = BTreeSet::new();
            while !seen.contains("untracked") {
                // More than are taken, so that rows never run out.
                backend.publish(&name, messages(10)).await.unwrap();
                seen.extend(take_some(&*member, 10).await);
            }
        };
        tokio::time::timeout(HANG, crowded)
            .await
            .expect("it is delivered beside the rows");
    }
}

/// One fetch, settled; what it held.
async fn take_some(member: &dyn fanout_core::Member, limit: usize) -> Vec<String> {
    let deliveries = member.fetch(limit).await.unwrap().deliveries;
    member.done_all(&deliveries).await.unwrap();
    payloads(&deliveries)
}

#[tokio::test]
async fn a_change_to_the_present_mode_writes_nothing() {
    let database = migrated().await;
    let backend = open(&database).await;
    topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    let version = "SELECT xmin::text FROM fanout.outbox_topics";
    let before = value::<String>(&client, version).await;
    let mode = TopicConfig::default().completion_mode;
    backend.migrate_topic(&topic("t"), mode).await.unwrap();
    assert_eq!(value::<String>(&client, version).await, before);
    backend
        .migrate_topic(&topic("t"), mode.other())
        .await
        .unwrap();
    assert_ne!(value::<String>(&client, version).await, before);
}
