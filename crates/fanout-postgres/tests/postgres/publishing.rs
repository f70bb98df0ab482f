//! What only Postgres has: isolation levels, leaves, publishers in other languages.

use fanout_core::{Backend, BackendExt, ErrorKind, MemberExt, NewMessage, Transactional, lane_of};
use fanout_postgres::Migrator;
use fanout_postgres::diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};

use crate::support::{
    MODES, connect, drain, group, in_mode, messages, migrated, open, owed, payloads, per_key, take,
    topic, topic_with_group, value,
};

/// Its snapshot may be older than a subscription, so no tracking rows may depend on it.
#[tokio::test]
async fn what_is_published_above_read_committed_is_untracked_and_delivered() {
    let database = migrated().await;
    let backend = open(&database).await;
    let client = connect(database.url()).await;
    for (n, level) in ["REPEATABLE READ", "SERIALIZABLE"].into_iter().enumerate() {
        let to = topic(&format!("t{n}"));
        topic_with_group(&backend, to.as_str()).await;
        backend.publish(&to, messages(1)).await.unwrap();
        let mut tx = AsyncPgConnection::establish(database.url()).await.unwrap();
        tx.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}"))
            .await
            .unwrap();
        // The snapshot is taken here.
        tx.batch_execute("SELECT count(*) FROM fanout.outbox")
            .await
            .unwrap();
        backend
            .subscribe_from_now(&to, &group("late"))
            .await
            .unwrap();
        backend
            .subscribe(&to, &group("ordered"), per_key())
            .await
            .unwrap();
        let old = vec![NewMessage::new("old snapshot")];
        backend.publish_in(&mut tx, &to, old).await.unwrap();
        backend
            .publish(&to, vec![NewMessage::new("since")])
            .await
            .unwrap();
        tx.batch_execute("COMMIT").await.unwrap();
        let tracked = format!(
            "SELECT string_agg(convert_from(payload, 'utf8'), ',' ORDER BY id) FROM fanout.outbox
             WHERE topic_id = {} AND NOT tracked",
            n + 1
        );
        assert_eq!(value::<String>(&client, &tracked).await, "old snapshot");
        for (name, expected) in [
            ("g", &["message 0", "old snapshot", "since"][..]),
            ("late", &["old snapshot", "since"]),
            ("ordered", &["old snapshot", "since"]),
        ] {
            assert_eq!(
                owed(&backend, &to, &group(name)).await.len(),
                expected.len()
            );
            let drained = drain(&backend, &to, &group(name)).await;
            assert_eq!(payloads(&drained), expected, "{level}: {name}");
        }
        let accounted = backend
            .accounting(&to, Default::default(), 10)
            .await
            .unwrap();
        assert_eq!(accounted.len(), 2, "{level}: only tracked ones are listed");
    }
}

#[tokio::test]
async fn publishing_above_read_committed_to_a_topic_that_was_deleted_since_is_a_conflict() {
    let database = migrated().await;
    let backend = open(&database).await;
    for mode in MODES {
        for level in ["REPEATABLE READ", "SERIALIZABLE"] {
            backend
                .create_topic(&topic("t"), in_mode(mode))
                .await
                .unwrap();
            let mut tx = AsyncPgConnection::establish(database.url()).await.unwrap();
            tx.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}"))
                .await
                .unwrap();
            tx.batch_execute("SELECT count(*) FROM fanout.outbox_topics")
                .await
                .unwrap();
            backend
                .delete_topic(&topic("t"), Default::default())
                .await
                .unwrap();
            let error = backend
                .publish_in(&mut tx, &topic("t"), messages(1))
                .await
                .unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Conflict,
                "{mode}, {level}: {error}"
            );
        }
    }
}

/// Before there were cursors nobody could have found such messages.
#[tokio::test]
async fn publishing_above_read_committed_is_refused_while_there_are_no_cursors() {
    let database = migrated().await;
    let migrator = Migrator::new(database.url());
    let backend = open(&database).await;
    topic_with_group(&backend, "t").await;
    backend.close();
    let client = connect(database.url()).await;
    for _ in 0..2 {
        migrator.down(1, false).await.unwrap();
        for level in ["REPEATABLE READ", "SERIALIZABLE"] {
            let error = client
                .batch_execute(&format!(
                    "BEGIN ISOLATION LEVEL {level}; SELECT fanout.publish('t', ARRAY['x'::bytea])"
                ))
                .await
                .unwrap_err();
            let error = error.as_db_error().expect("an error of the database");
            assert_eq!(error.constraint(), Some("fanout_isolation"), "{error}");
            client.batch_execute("ROLLBACK").await.unwrap();
        }
    }
    migrator.up().await.unwrap();
    client
        .batch_execute(
            "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT fanout.publish('t', ARRAY['x'::bytea]); COMMIT",
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn a_stale_receipt_is_found_out_under_every_isolation_level() {
    let database = migrated().await;
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "t").await;
    for level in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        backend.publish(&topic("t"), messages(2)).await.unwrap();
        let deliveries = take(&*member, 2).await;
        let mut tx = AsyncPgConnection::establish(database.url()).await.unwrap();
        tx.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}"))
            .await
            .unwrap();
        // The snapshot of the higher levels is taken here, and shows both leases from now on.
        tx.batch_execute("SELECT count(*) FROM fanout.outbox")
            .await
            .unwrap();
        member.done(&deliveries[0]).await.unwrap();
        let error = backend
            .settle_in(&mut tx, &[deliveries[0].receipt])
            .await
            .unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::StaleReceipt | ErrorKind::Conflict),
            "{level}: {error:?}"
        );
        tx.batch_execute("ROLLBACK").await.unwrap();

        tx.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}"))
            .await
            .unwrap();
        backend
            .settle_in(&mut tx, &[deliveries[1].receipt])
            .await
            .unwrap();
        tx.batch_execute("COMMIT").await.unwrap();
        assert_eq!(
            backend.stats(&topic("t")).await.unwrap()[0].pending,
            0,
            "{level}"
        );
    }
}

#[tokio::test]
async fn a_missing_leaf_is_an_error_of_its_own_and_the_engine_mends_it() {
    let database = migrated().await;
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    // Beyond every leaf that stands ready.
    client
        .execute("SELECT setval('fanout.outbox_ids_1', 5000000)", &[])
        .await
        .unwrap();
    let mut tx = backend.begin().await.unwrap();
    let error = backend
        .publish_in(tx.tx(), &topic("t"), messages(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LeafMissing);
    tx.rollback().await.unwrap();

    let ids = backend.publish(&topic("t"), messages(3)).await.unwrap();
    let deliveries = take(&*member, 3).await;
    assert_eq!(
        deliveries.iter().map(|d| d.message.id).collect::<Vec<_>>(),
        ids
    );
    assert_eq!(member.done_all(&deliveries).await.unwrap(), 3);
}

#[tokio::test]
async fn leaves_are_made_ahead_of_need_by_maintenance() {
    let database = migrated().await;
    let backend = open(&database).await;
    topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    let ahead = "SELECT count(*) FROM fanout.outbox_leaves WHERE first_id > fanout.drawn_id(1)";
    client
        .execute("SELECT setval('fanout.outbox_ids_1', 1500000)", &[])
        .await
        .unwrap();
    assert_eq!(value::<i64>(&client, ahead).await, 0);
    let report = backend.maintain().await.unwrap();
    assert_eq!(report.leaves_created, 2);
    assert_eq!(value::<i64>(&client, ahead).await, 2);
    assert!(backend.maintain().await.unwrap().is_idle());
}

#[tokio::test]
async fn consumers_make_leaves_too() {
    let database = migrated().await;
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    client
        .execute("SELECT setval('fanout.outbox_ids_1', 1500000)", &[])
        .await
        .unwrap();
    backend.publish(&topic("t"), messages(1)).await.unwrap();
    // What a claim finds to be done waits until nothing is in hand: at the next fetch.
    for _ in 0..3 {
        member.fetch(1).await.unwrap();
    }
    let ahead = "SELECT count(*) FROM fanout.outbox_leaves WHERE first_id > fanout.drawn_id(1)";
    assert_eq!(value::<i64>(&client, ahead).await, 2);
}

#[tokio::test]
async fn any_language_publishes_with_one_statement() {
    let database = migrated().await;
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    client
        .batch_execute(
            "BEGIN;
             SELECT fanout.publish('t', ARRAY['plain'::bytea]);
             SELECT fanout.publish('t', ARRAY['\\x00ff'::bytea, ''], ARRAY['key', NULL],
                 ARRAY[NULL, '{\"n\": 1}'::jsonb]);
             COMMIT",
        )
        .await
        .unwrap();
    let deliveries = take(&*member, 3).await;
    assert_eq!(deliveries.len(), 3);
    assert_eq!(deliveries[0].message.payload.as_ref(), b"plain");
    assert_eq!(deliveries[1].message.payload.as_ref(), [0, 255]);
    assert_eq!(deliveries[1].message.key.as_deref(), Some("key"));
    assert_eq!(deliveries[2].message.headers.get("n").unwrap(), 1);
}

#[tokio::test]
async fn the_function_guards_itself() {
    let database = migrated().await;
    let backend = open(&database).await;
    topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    for (call, constraint) in [
        (
            "fanout.publish('none', ARRAY['x'::bytea])",
            "fanout_topic_not_found",
        ),
        (
            "fanout.publish('t', ARRAY[]::bytea[])",
            "fanout_empty_batch",
        ),
        ("fanout.publish('t', NULL)", "fanout_empty_batch"),
        (
            "fanout.publish('t', ARRAY['x'::bytea], ARRAY['a', 'b'])",
            "fanout_batch_shape",
        ),
        (
            "fanout.publish('t', ARRAY['x'::bytea], ARRAY[repeat('k', 1025)])",
            "fanout_key_size",
        ),
        (
            "fanout.publish('t', ARRAY['x'::bytea], NULL, ARRAY['[1]'::jsonb])",
            "fanout_headers_object",
        ),
        (
            "fanout.publish('t', ARRAY[repeat('x', 16777217)::bytea])",
            "fanout_payload_size",
        ),
    ] {
        let error = client
            .query(&format!("SELECT {call}"), &[])
            .await
            .unwrap_err();
        let error = error.as_db_error().expect("an error of the database");
        assert_eq!(error.constraint(), Some(constraint), "{call}: {error}");
    }
    assert_eq!(backend.stats(&topic("t")).await.unwrap()[0].pending, 0);
}

#[tokio::test]
async fn lanes_agree_with_the_library() {
    let database = migrated().await;
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "t").await;
    let keys = ["", "a", "order-17", "größe", "日本", &"long".repeat(200)];
    let mut batch: Vec<_> = keys
        .iter()
        .map(|key| NewMessage::new("x").key(*key))
        .collect();
    batch.push(NewMessage::new("no key"));
    backend.publish(&topic("t"), batch).await.unwrap();
    let client = connect(database.url()).await;
    let rows = client
        .query("SELECT key, id, lane FROM fanout.outbox ORDER BY id", &[])
        .await
        .unwrap();
    for row in rows {
        let (key, id, lane): (Option<String>, i64, i16) = (row.get(0), row.get(1), row.get(2));
        assert_eq!(
            u16::try_from(lane).unwrap(),
            lane_of(key.as_deref(), id, 8),
            "key {key:?}"
        );
    }
    assert_eq!(take(&*member, 7).await.len(), 7);
}

/// A prepared transaction has no process and no session, and may commit long after.
#[tokio::test]
async fn a_subscription_catches_up_with_a_prepared_publisher() {
    let database = migrated().await;
    let backend = open(&database).await;
    topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    client
        .batch_execute(
            "BEGIN; SELECT fanout.publish('t', ARRAY['early'::bytea]); PREPARE TRANSACTION 'p'",
        )
        .await
        .unwrap();
    backend
        .subscribe(&topic("t"), &group("late"), Default::default())
        .await
        .unwrap();
    backend.publish(&topic("t"), messages(1)).await.unwrap();
    backend.maintain().await.unwrap();
    let caught_up =
        "SELECT caught_up FROM fanout.outbox_topic_subscriptions WHERE group_name = 'late'";
    assert!(
        !value::<bool>(&client, caught_up).await,
        "its publisher may still commit"
    );
    client.batch_execute("COMMIT PREPARED 'p'").await.unwrap();
    assert_eq!(backend.maintain().await.unwrap().subscriptions_caught_up, 1);
    assert!(value::<bool>(&client, caught_up).await);
    let late = fanout_core::BackendExt::join_group(&backend, &topic("t"), &group("late"))
        .await
        .unwrap();
    let deliveries = take(&*late, 2).await;
    let payloads: Vec<_> = deliveries
        .iter()
        .map(|d| d.message.payload.as_ref())
        .collect();
    assert_eq!(payloads, [&b"early"[..], b"message 0"]);
    assert_eq!(late.done_all(&deliveries).await.unwrap(), 2);
    for message in backend
        .accounting(&topic("t"), Default::default(), 10)
        .await
        .unwrap()
    {
        assert_eq!(message.required.len(), 2);
        assert!(message.completed.contains(&group("late")));
    }
}
