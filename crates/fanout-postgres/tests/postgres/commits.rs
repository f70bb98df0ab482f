//! Commits of cursors that go in one statement, and what must not pass from one to another.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fanout_core::{
    Backend, CompletionMode, Delivery, Member, MemberExt, OnFailure, Ordering, TopicConfig,
    Transactional,
};
use fanout_postgres::PostgresBackend;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::readers::{WAITING, join, subscribe, until};
use crate::support::{connect, group, messages, migrated, open, owed, take, topic, value};

/// A topic of one lane in offset mode, with unordered groups.
async fn one_lane(backend: &PostgresBackend, groups: &[&str]) {
    let config = TopicConfig {
        completion_mode: CompletionMode::OffsetWatermark,
        lanes: 1,
        ..TopicConfig::default()
    };
    backend.create_topic(&topic("t"), config).await.unwrap();
    for name in groups {
        subscribe(backend, "t", name, Ordering::Unordered, OnFailure::Park).await;
    }
}

/// Lets all lanes of a group be taken from their owners.
async fn lapse(client: &Client, name: &str) {
    for table in ["outbox_lane_leases", "outbox_group_members"] {
        let lapse = format!(
            "UPDATE fanout.{table} SET expires_at = '-infinity' WHERE group_index = (
                SELECT group_index FROM fanout.outbox_topic_subscriptions WHERE group_name = '{name}')"
        );
        assert!(client.execute(&lapse, &[]).await.unwrap() > 0);
    }
}

/// Lets a round of commits wait, so that what is settled meanwhile comes into the next round together.
async fn hold_up(client: &Client, holder: &Client, other: Arc<dyn Member>, delivery: Delivery) {
    holder
        .batch_execute(
            "BEGIN; SELECT FROM fanout.outbox_subscription_offsets WHERE group_index = (
                SELECT group_index FROM fanout.outbox_topic_subscriptions WHERE group_name = 'other')
             FOR UPDATE",
        )
        .await
        .unwrap();
    tokio::spawn(async move { other.done(&delivery).await });
    until(client, WAITING, 1).await;
}

/// Runs a call up to where it first waits.
async fn begin(call: &mut Pin<&mut impl Future>) {
    let pending =
        std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending()));
    assert!(pending.await, "it waits for the round");
}

#[tokio::test]
async fn a_fenced_commit_changes_nothing_beside_that_of_its_successor() {
    let database = migrated().await;
    let backend = open(&database).await;
    one_lane(&backend, &["g", "other"]).await;
    let (client, holder) = (connect(database.url()).await, connect(database.url()).await);
    let sent = backend.publish(&topic("t"), messages(2)).await.unwrap();
    let other = join(&backend, "t", "other").await;
    let others = take(&*other, 2).await;
    let former = join(&backend, "t", "g").await;
    let old = take(&*former, 2).await;
    lapse(&client, "g").await;
    let owner = join(&backend, "t", "g").await;
    let new = take(&*owner, 2).await;

    hold_up(&client, &holder, other.clone(), others[0].clone()).await;
    let mut failing = pin!(former.fail(&old[0], "late"));
    begin(&mut failing).await;
    let mut settling = pin!(owner.done(&new[0]));
    begin(&mut settling).await;
    holder.batch_execute("COMMIT").await.unwrap();
    assert!(failing.await.is_err(), "its lane has another owner");
    settling.await.expect("the owner settles");
    let parked = "SELECT count(*) FROM fanout.outbox_consumer_groups";
    assert_eq!(
        value::<i64>(&client, parked).await,
        0,
        "what the former owner failed is not parked"
    );
    assert_eq!(owed(&backend, &topic("t"), &group("g")).await, sent[1..]);
}

/// The same for what callers' transactions have settled: what one group's members know is nothing to
/// another's.
#[tokio::test]
async fn a_cursor_does_not_move_past_what_another_group_alone_knows() {
    let database = migrated().await;
    let backend = open(&database).await;
    one_lane(&backend, &["a", "b", "other"]).await;
    let (client, holder) = (connect(database.url()).await, connect(database.url()).await);
    backend.publish(&topic("t"), messages(2)).await.unwrap();
    let other = join(&backend, "t", "other").await;
    let others = take(&*other, 1).await;
    let (a, b) = (
        join(&backend, "t", "a").await,
        join(&backend, "t", "b").await,
    );
    let (of_a, of_b) = (take(&*a, 2).await, take(&*b, 2).await);
    let mut known = backend.begin().await.unwrap();
    backend
        .settle_in(known.tx(), &[of_a[0].receipt])
        .await
        .unwrap();
    known.commit().await.unwrap();
    let mut unknown = backend.begin().await.unwrap();
    backend
        .settle_in(unknown.tx(), &[of_b[0].receipt])
        .await
        .unwrap();

    hold_up(&client, &holder, other.clone(), others[0].clone()).await;
    let mut first = pin!(a.done(&of_a[1]));
    let mut second = pin!(b.done(&of_b[0]));
    // Until both have looked for what transactions have settled, and wait for the round.
    for _ in 0..50 {
        begin(&mut first).await;
        begin(&mut second).await;
        value::<i32>(&client, "SELECT 1").await;
    }
    unknown.commit().await.unwrap();
    holder.batch_execute("COMMIT").await.unwrap();
    first.await.expect("settles");
    assert!(
        second.await.is_err(),
        "a transaction has settled it: not once more"
    );
    assert_eq!(
        owed(&backend, &topic("t"), &group("b")).await,
        [of_b[1].message.id]
    );
}

/// What a caller's transaction settles stays settled when somebody else has parked the message while the
/// transaction was open, and the lane goes on without an owner.
#[tokio::test]
async fn a_settlement_of_a_parked_message_is_not_swept_with_its_lane() {
    let database = migrated().await;
    let backend = open(&database).await;
    let config = TopicConfig {
        completion_mode: CompletionMode::OffsetWatermark,
        lanes: 2,
        ..TopicConfig::default()
    };
    backend.create_topic(&topic("t"), config).await.unwrap();
    subscribe(&backend, "t", "g", Ordering::Unordered, OnFailure::Park).await;
    let client = connect(database.url()).await;
    backend.publish(&topic("t"), messages(1)).await.unwrap();
    let member = join(&backend, "t", "g").await;
    let held = take(&*member, 1).await;
    let mut open = backend.begin().await.unwrap();
    backend
        .settle_in(open.tx(), &[held[0].receipt])
        .await
        .unwrap();
    member.fail(&held[0], "too slow").await.unwrap();
    member.leave().await.unwrap();
    // In the other lane, so that the first one moves on.
    let second = backend.publish(&topic("t"), messages(1)).await.unwrap();
    let tick = "SELECT newest FROM fanout.tick_1(true, interval '0')";
    value::<i64>(&client, tick).await;
    open.commit().await.unwrap();
    let advance = "SELECT fanout.advance_free_lanes(1, 0::smallint, NULL)";
    assert_eq!(value::<i64>(&client, advance).await, 1);
    for _ in 0..3 {
        backend.maintain().await.unwrap();
    }
    assert_eq!(owed(&backend, &topic("t"), &group("g")).await, second);
}

/// Settling in a transaction asks the session that fetched, on a connection of its own: the transactions of
/// callers must not have taken all of them.
#[tokio::test]
async fn more_transactions_than_connections_settle() {
    let database = migrated().await;
    let backend = PostgresBackend::builder(database.url())
        .pool_size(2)
        .acquire_timeout(Duration::from_secs(10))
        .connect()
        .await
        .unwrap();
    one_lane(&backend, &["g"]).await;
    backend.publish(&topic("t"), messages(8)).await.unwrap();
    let member = join(&backend, "t", "g").await;
    let held = take(&*member, 8).await;
    let mut settling = JoinSet::new();
    for delivery in held {
        let backend = backend.clone();
        settling.spawn(async move {
            let mut tx = backend.begin().await?;
            backend.settle_in(tx.tx(), &[delivery.receipt]).await?;
            tx.commit().await
        });
    }
    while let Some(settled) = settling.join_next().await {
        settled.unwrap().expect("it comes to its turn");
    }
    assert_eq!(owed(&backend, &topic("t"), &group("g")).await, []);
}

/// Keeps the cursors of the only group from moving.
async fn hold_cursors(holder: &Client) {
    let hold = "BEGIN; SELECT FROM fanout.outbox_subscription_offsets FOR UPDATE";
    holder.batch_execute(hold).await.unwrap();
}

/// A call is dropped while its commit waits in the database. The next fetch reads the cursor again; were the
/// commit to happen after that, it would take for finished what that fetch hands out.
#[tokio::test]
async fn a_commit_whose_caller_has_gone_does_not_happen_after_the_cursor_was_read_again() {
    let database = migrated().await;
    let backend = open(&database).await;
    one_lane(&backend, &["g"]).await;
    let (client, holder) = (connect(database.url()).await, connect(database.url()).await);
    backend.publish(&topic("t"), messages(1)).await.unwrap();
    let member = join(&backend, "t", "g").await;
    let first = take(&*member, 1).await;
    hold_cursors(&holder).await;
    {
        let mut settling = pin!(member.done(&first[0]));
        begin(&mut settling).await;
        until(&client, WAITING, 1).await;
    }
    backend.publish(&topic("t"), messages(1)).await.unwrap();
    let fetching = tokio::spawn({
        let member = member.clone();
        async move { take(&*member, 1).await }
    });
    // It has what is new already, or it waits behind the commit.
    while !fetching.is_finished() && value::<i64>(&client, WAITING).await < 2 {
        tokio::task::yield_now().await;
    }
    holder.batch_execute("COMMIT").await.unwrap();
    let second = fetching.await.unwrap();
    until(
        &client,
        "SELECT count(*) FROM fanout.outbox_subscription_offsets WHERE version > 1",
        1,
    )
    .await;
    assert_eq!(
        member.fetch(9).await.unwrap().deliveries.len(),
        0,
        "all is in hand or settled"
    );
    member.done(&second[0]).await.expect("it is in hand");
    assert_eq!(owed(&backend, &topic("t"), &group("g")).await, []);
}

/// A failure is dropped while its commit waits, and parks the message; a caller's transaction that began before
/// settles it. The member, which does not know that it was parked, must leave that settlement alone.
#[tokio::test]
async fn a_settlement_of_a_message_that_a_lost_failure_parked_stays() {
    let database = migrated().await;
    let backend = open(&database).await;
    one_lane(&backend, &["g"]).await;
    let (client, holder) = (connect(database.url()).await, connect(database.url()).await);
    backend.publish(&topic("t"), messages(2)).await.unwrap();
    let member = join(&backend, "t", "g").await;
    let held = take(&*member, 2).await;
    let mut tx = backend.begin().await.unwrap();
    backend
        .settle_in(tx.tx(), &[held[0].receipt])
        .await
        .unwrap();
    hold_cursors(&holder).await;
    {
        let mut failing = pin!(member.fail(&held[0], "slow"));
        for _ in 0..1000 {
            begin(&mut failing).await;
            if value::<i64>(&client, WAITING).await > 0 {
                break;
            }
        }
        until(&client, WAITING, 1).await;
    }
    holder.batch_execute("COMMIT").await.unwrap();
    let parked = "SELECT count(*) FROM fanout.outbox_consumer_groups WHERE parked";
    until(&client, parked, 1).await;
    tx.commit().await.unwrap();
    member.done(&held[1]).await.expect("it is in hand");
    let again = member.fetch(9).await.unwrap().deliveries;
    assert_eq!(again.len(), 0, "the transaction has settled it");
    for _ in 0..3 {
        backend.maintain().await.unwrap();
    }
    assert_eq!(owed(&backend, &topic("t"), &group("g")).await, []);
    assert_eq!(value::<i64>(&client, parked).await, 0);
}
