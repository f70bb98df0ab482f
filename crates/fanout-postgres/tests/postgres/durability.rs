//! What must hold across the end of a server, on clusters of the tests' own.

use std::future::Future;
use std::task::Poll;

use fanout_core::{Backend, BackendExt, CompletionMode, MemberExt, MessageId, SubscriptionOptions};
use fanout_postgres::{Migrator, PostgresBackend};
use fanout_testpg::{Cluster, Profile};

use crate::readers::HANG;
use crate::support::{connect, group, in_mode, messages, take, topic, topic_with_group, value};

/// An answer that fills the server's buffer leaves it before the commit; it must not count as one.
#[tokio::test]
async fn a_publish_is_not_ok_before_its_commit_whatever_the_size_of_its_answer() {
    let cluster = Cluster::builder(Profile::Fast)
        .setting("synchronous_standby_names", "nobody")
        .start()
        .unwrap();
    cluster.create_database("app").unwrap();
    let url = cluster.url("app");
    Migrator::new(url.as_str()).up().await.unwrap();
    let backend = PostgresBackend::connect(&url).await.unwrap();
    topic_with_group(&backend, "t").await;
    let client = connect(&url).await;
    // Its commits wait for a standby that never comes.
    let waiting = format!("{url}&options=-c%20synchronous_commit%3Don");
    let waiting = PostgresBackend::builder(waiting)
        .pool_size(1)
        .connect()
        .await
        .unwrap();
    for count in [1, 678, 679, 680, 1362] {
        let to = topic("t");
        let mut publish = Box::pin(waiting.publish(&to, messages(count)));
        let stuck = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        while value::<i64>(&client, stuck).await == 0 {
            let polled =
                std::future::poll_fn(|context| Poll::Ready(publish.as_mut().poll(context)));
            assert!(
                polled.await.is_pending(),
                "{count} messages: Ok before the commit"
            );
        }
        for _ in 0..20 {
            let polled =
                std::future::poll_fn(|context| Poll::Ready(publish.as_mut().poll(context)));
            assert!(
                polled.await.is_pending(),
                "{count} messages: Ok before the commit"
            );
            tokio::task::yield_now().await;
        }
        // Ends the wait; the commit stands locally.
        let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        assert_eq!(value::<i64>(&client, cancel).await, 1);
        assert_eq!(publish.await.unwrap().len(), count);
    }
}

/// A prepared transaction that outlives the server has another name afterwards.
#[tokio::test]
async fn a_prepared_publisher_is_awaited_across_a_restart() {
    let mut cluster = Cluster::start(Profile::Durable).unwrap();
    if value::<String>(
        &connect(&cluster.url("postgres")).await,
        "SHOW max_prepared_transactions",
    )
    .await
        == "0"
    {
        drop(cluster);
        cluster = Cluster::builder(Profile::Durable)
            .setting("max_prepared_transactions", "5")
            .start()
            .unwrap();
    }
    cluster.create_database("app").unwrap();
    let url = cluster.url("app");
    Migrator::new(url.as_str()).up().await.unwrap();
    let backend = PostgresBackend::connect(&url).await.unwrap();
    topic_with_group(&backend, "t").await;
    let client = connect(&url).await;
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
    cluster.crash().unwrap();
    cluster.restart().unwrap();
    let backend = PostgresBackend::connect(&url).await.unwrap();
    backend.maintain().await.unwrap();
    let client = connect(&url).await;
    let caught_up =
        "SELECT caught_up FROM fanout.outbox_topic_subscriptions WHERE group_name = 'late'";
    assert!(
        !value::<bool>(&client, caught_up).await,
        "its publisher may still commit"
    );
    let late = backend
        .join_group(&topic("t"), &group("late"))
        .await
        .unwrap();
    for _ in 0..3 {
        assert_eq!(late.fetch(10).await.unwrap().deliveries, []);
    }
    client.batch_execute("COMMIT PREPARED 'p'").await.unwrap();
    backend.maintain().await.unwrap();
    assert!(value::<bool>(&client, caught_up).await);
    assert_eq!(
        late.fetch(10).await.unwrap().deliveries.len(),
        1,
        "nothing is lost"
    );
}

/// A crash takes back the newest ticks. Whoever fetched by them before and settles afterwards must not put
/// a cursor at a tick that is gone, nor at another that has its number.
#[tokio::test]
async fn what_was_fetched_by_a_tick_that_a_crash_took_back_is_settled_or_comes_again() {
    for again in [false, true] {
        let mut cluster = Cluster::start(Profile::Durable).unwrap();
        cluster.create_database("app").unwrap();
        let url = cluster.url("app");
        Migrator::new(url.as_str()).up().await.unwrap();
        let backend = PostgresBackend::connect(&url).await.unwrap();
        backend
            .create_topic(&topic("t"), in_mode(CompletionMode::OffsetWatermark))
            .await
            .unwrap();
        let lease = SubscriptionOptions {
            lease: std::time::Duration::from_secs(1),
            ..SubscriptionOptions::default()
        };
        backend
            .subscribe(&topic("t"), &group("g"), lease.into())
            .await
            .unwrap();
        let member = backend.join_group(&topic("t"), &group("g")).await.unwrap();
        // So that it has its lanes, and has told the database where they stand.
        let first = backend.publish(&topic("t"), messages(20)).await.unwrap();
        let held = take(&*member, first.len()).await;
        member.done_all(&held).await.unwrap();
        backend.publish(&topic("t"), messages(20)).await.unwrap();
        let held = take(&*member, 20).await;
        cluster.crash().unwrap();
        cluster.restart().unwrap();
        let client = connect(&url).await;
        // What a crash takes back is not the same each time: take it all.
        let taken_back = "DELETE FROM fanout.outbox_ticks WHERE tick > (
            SELECT max(through_tick) FROM fanout.outbox_subscription_offsets)";
        client.execute(taken_back, &[]).await.unwrap();
        if again {
            let back = "SELECT setval('fanout.ticks', (SELECT max(tick) FROM fanout.outbox_ticks))";
            value::<i64>(&client, back).await;
            for _ in 0..5 {
                client
                    .batch_execute(
                        "SELECT fanout.publish('t', array_fill('new'::bytea, '{10}'));
                         SELECT fanout.tick_1(true, interval '0')",
                    )
                    .await
                    .unwrap();
            }
        }
        let settled = async {
            loop {
                // Connections of before are broken.
                if let Ok(settled) = member.done_all(&held).await {
                    return settled;
                }
            }
        };
        let settled = tokio::time::timeout(HANG, settled).await.expect("settles");
        let owed = backend
            .pending(&topic("t"), &group("g"), MessageId(0), 1000)
            .await
            .expect("the cursors stand at ticks that are there");
        assert_eq!(owed.len(), 20 - settled + if again { 50 } else { 0 });
        let mut drained = 0;
        let draining = async {
            while drained < owed.len() {
                let deliveries = member.fetch(100).await.expect("fetches").deliveries;
                drained += member.done_all(&deliveries).await.expect("settles");
            }
        };
        tokio::time::timeout(HANG, draining)
            .await
            .expect("all that is owed is delivered");
    }
}
