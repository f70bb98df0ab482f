//! Members that come back after all leases have ended.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, BackendExt, CompletionMode, ErrorKind, JoinOptions, ManualClock, MemberExt,
    MemberName, StartPosition,
};
use fanout_postgres::PostgresBackend;
use fanout_testpg::TestDatabase;

use crate::readers::{HANG, WAITING, maintain, until};
use crate::support::{connect, group, in_mode, messages, migrated, open, topic, value};

/// An engine on a clock of the test's.
async fn timed(database: &TestDatabase) -> (Arc<ManualClock>, PostgresBackend) {
    let clock = Arc::new(ManualClock::default());
    let builder = PostgresBackend::builder(database.url()).clock(clock.clone());
    (clock, builder.connect().await.unwrap())
}

/// Two that came back together, each removing what was left of the other, were a deadlock.
#[tokio::test]
async fn whoever_takes_lanes_does_not_wait_for_a_former_owner_that_comes_back() {
    let database = migrated().await;
    let (clock, backend) = timed(&database).await;
    let mode = in_mode(CompletionMode::OffsetWatermark);
    backend.create_topic(&topic("t"), mode).await.unwrap();
    backend
        .subscribe_from_now(&topic("t"), &group("g"))
        .await
        .unwrap();
    let join = |name: &str| {
        let options = JoinOptions::named(MemberName::new(name).unwrap());
        let (backend, group) = (backend.clone(), group("g"));
        async move {
            let joined = backend.join(&topic("t"), Some(&group), options).await;
            joined.unwrap()
        }
    };
    let former = join("former").await;
    former.fetch(1).await.unwrap();
    let heir = join("heir").await;
    backend.publish(&topic("t"), messages(20)).await.unwrap();
    clock.advance(Duration::from_secs(3600));

    let back = connect(database.url()).await;
    let own = "BEGIN; SELECT FROM fanout.outbox_group_members WHERE name = 'former' FOR UPDATE";
    back.batch_execute(own).await.unwrap();
    let fetched = tokio::time::timeout(HANG, heir.fetch(20)).await;
    let fetched = fetched.expect("it does not wait").unwrap();
    assert_eq!(fetched.deliveries.len(), 20, "it has all lanes now");
    back.batch_execute("ROLLBACK").await.unwrap();
    backend.maintain().await.unwrap();
    let left = "SELECT count(*) FROM fanout.outbox_group_members WHERE name = 'former'";
    let left: i64 = back.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "what was left is removed by the next who comes by");
}

/// A bit is used again as soon as its group has ended, on a topic without messages: a commit of who read for that
/// group, which comes late, must not move a cursor of the next.
#[tokio::test]
async fn whoever_has_a_bit_later_has_other_epochs() {
    let database = migrated().await;
    let backend = open(&database).await;
    let client = connect(database.url()).await;
    let mode = in_mode(CompletionMode::OffsetWatermark);
    backend.create_topic(&topic("t"), mode).await.unwrap();
    let (mut bits, mut epochs, mut lanes) = (BTreeSet::new(), BTreeSet::new(), 0);
    for name in ["a", "b", "a"] {
        let (topic, group) = (topic("t"), group(name));
        backend.subscribe_from_now(&topic, &group).await.unwrap();
        let member = backend.join_group(&topic, &group).await.unwrap();
        assert!(member.fetch(1).await.unwrap().deliveries.is_empty());
        let owned = "SELECT group_index, epoch FROM fanout.outbox_subscription_offsets
            JOIN fanout.outbox_lane_leases USING (topic_id, group_index, lane) WHERE owner IS NOT NULL";
        for row in client.query(owned, &[]).await.unwrap() {
            bits.insert(row.get::<_, i16>(0));
            epochs.insert(row.get::<_, i64>(1));
            lanes += 1;
        }
        backend.cancel(&topic, &group).await.unwrap();
        backend.maintain().await.unwrap();
    }
    assert_eq!(bits.len(), 1, "all have the same bit: {bits:?}");
    assert!(lanes > 0, "they own lanes");
    assert_eq!(
        epochs.len(),
        lanes,
        "no two have an epoch in common: {epochs:?}"
    );
}

/// A member is stopped right before it takes lanes, and meanwhile its bit becomes another group's.
#[tokio::test]
async fn a_bit_that_changes_hands_in_the_middle_of_a_fetch_gives_nothing_away() {
    let database = migrated().await;
    let backend = open(&database).await;
    let (gate, watcher) = (connect(database.url()).await, connect(database.url()).await);
    let mode = in_mode(CompletionMode::OffsetWatermark);
    backend.create_topic(&topic("t"), mode).await.unwrap();
    let (former, next) = (group("former"), group("next"));
    backend
        .subscribe_from_now(&topic("t"), &former)
        .await
        .unwrap();
    let slow = backend.join_group(&topic("t"), &former).await.unwrap();
    gate.batch_execute(
        "CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END';
         CREATE TRIGGER gate BEFORE UPDATE ON fanout.outbox_lane_leases EXECUTE FUNCTION gate();
         SELECT pg_advisory_lock(42)",
    )
    .await
    .unwrap();
    let fetching = tokio::spawn({
        let slow = slow.clone();
        async move { slow.fetch(10).await }
    });
    until(&watcher, WAITING, 1).await;
    backend.cancel(&topic("t"), &former).await.unwrap();
    let index = backend
        .subscribe_from_now(&topic("t"), &next)
        .await
        .unwrap();
    assert_eq!(index.group_index, slow.subscription().group_index);
    backend.publish(&topic("t"), messages(10)).await.unwrap();
    gate.batch_execute("SELECT pg_advisory_unlock(42)")
        .await
        .unwrap();
    let fetched = fetching.await.unwrap();
    assert!(
        fetched
            .as_ref()
            .is_ok_and(|fetched| fetched.deliveries.is_empty())
            || fetched
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::SubscriptionEnded),
        "{fetched:?}"
    );
    let member = backend.join_group(&topic("t"), &next).await.unwrap();
    let fetched = member.fetch(10).await.unwrap();
    assert_eq!(
        fetched.deliveries.len(),
        10,
        "all lanes are free, and it is alone"
    );
}

/// While it was forgotten, ticks went that its process still knows: its cursors must not come to stand at them.
/// Nor when the fetch with which it came back was dropped before it heard anything.
async fn returns_after_it_was_forgotten(first_fetch_is_dropped: bool) {
    let database = migrated().await;
    let (clock, backend) = timed(&database).await;
    let watcher = connect(database.url()).await;
    let mode = in_mode(CompletionMode::OffsetWatermark);
    let (topic, group) = (topic("t"), group("g"));
    backend.create_topic(&topic, mode).await.unwrap();
    backend.subscribe_from_now(&topic, &group).await.unwrap();
    let member = backend.join_group(&topic, &group).await.unwrap();
    let newest = "SELECT max(tick) FROM fanout.outbox_ticks";
    // What a member moves to is stored once in a while: until it knows a tick that is not.
    let known = loop {
        backend.publish(&topic, messages(3)).await.unwrap();
        let held = member.fetch(10).await.unwrap().deliveries;
        assert_eq!(held.len(), 3);
        let known: i64 = value(&watcher, newest).await;
        let stored = format!(
            "SELECT count(*) FROM fanout.outbox_subscription_offsets WHERE {known} IN (tick, through_tick)"
        );
        if value::<i64>(&watcher, &stored).await == 0 {
            break known;
        }
        member.done_all(&held).await.unwrap();
    };
    clock.advance(Duration::from_secs(3600));
    backend.publish(&topic, messages(2)).await.unwrap();
    backend.maintain().await.unwrap();
    let there = format!("SELECT count(*) FROM fanout.outbox_ticks WHERE tick = {known}");
    assert_eq!(value::<i64>(&watcher, &there).await, 0, "it was merged");

    if first_fetch_is_dropped {
        let gate = connect(database.url()).await;
        let close = "BEGIN; LOCK TABLE fanout.outbox_group_members IN SHARE MODE";
        gate.batch_execute(close).await.unwrap();
        let fetching = tokio::spawn({
            let member = member.clone();
            async move { member.fetch(2).await }
        });
        until(&watcher, WAITING, 1).await;
        fetching.abort();
        assert!(fetching.await.unwrap_err().is_cancelled());
        gate.batch_execute("ROLLBACK").await.unwrap();
    }
    let back = member.fetch(2).await.unwrap().deliveries;
    assert_eq!(member.done_all(&back).await.unwrap(), 2);
    let gone = "SELECT count(*) FROM fanout.outbox_subscription_offsets o WHERE NOT EXISTS (
        SELECT FROM fanout.outbox_ticks k WHERE k.topic_id = o.topic_id AND k.tick = o.tick)";
    assert_eq!(
        value::<i64>(&watcher, gone).await,
        0,
        "cursors stand at ticks that exist"
    );
}

#[tokio::test]
async fn a_member_that_was_forgotten_moves_to_no_tick_that_went_meanwhile() {
    returns_after_it_was_forgotten(false).await;
}

#[tokio::test]
async fn nor_does_one_that_did_not_hear_that_it_was_forgotten() {
    returns_after_it_was_forgotten(true).await;
}

/// A seek removes the members of the bit that it gives up. One that asks for lanes after that, and before the seek has
/// committed, comes in for a bit that nobody has then: it must not keep ticks for good.
#[tokio::test]
async fn who_comes_in_during_a_seek_keeps_no_ticks() {
    let database = migrated().await;
    let backend = open(&database).await;
    let (gate, watcher) = (connect(database.url()).await, connect(database.url()).await);
    let mode = in_mode(CompletionMode::OffsetWatermark);
    let (topic, group) = (topic("t"), group("g"));
    backend.create_topic(&topic, mode).await.unwrap();
    backend.subscribe_from_now(&topic, &group).await.unwrap();
    let slow = backend.join_group(&topic, &group).await.unwrap();
    let close = "BEGIN; LOCK TABLE fanout.outbox_seeks IN SHARE MODE";
    gate.batch_execute(close).await.unwrap();
    let seeking = tokio::spawn({
        let (backend, topic, group) = (backend.clone(), topic.clone(), group.clone());
        async move { backend.seek(&topic, &group, StartPosition::FromNow).await }
    });
    until(&watcher, WAITING, 1).await;
    assert!(slow.fetch(1).await.unwrap().deliveries.is_empty());
    gate.batch_execute("ROLLBACK").await.unwrap();
    seeking.await.unwrap().unwrap();
    let strays = "SELECT count(*) FROM fanout.outbox_group_members";
    assert_eq!(value::<i64>(&watcher, strays).await, 1, "it came in");

    maintain(&backend).await;
    assert_eq!(value::<i64>(&watcher, strays).await, 0, "and is removed");
}

/// What a dropped member fetched can be settled by others of its process, so its session is kept; but not
/// longer than the engine.
#[tokio::test]
async fn an_engine_that_is_dropped_closes_its_connections_whatever_its_members_held() {
    let database = migrated().await;
    let backend = open(&database).await;
    let mode = in_mode(CompletionMode::OffsetWatermark);
    backend.create_topic(&topic("t"), mode).await.unwrap();
    backend
        .subscribe_from_now(&topic("t"), &group("g"))
        .await
        .unwrap();
    backend.publish(&topic("t"), messages(3)).await.unwrap();
    let member = backend.join_group(&topic("t"), &group("g")).await.unwrap();
    assert_eq!(member.fetch(3).await.unwrap().deliveries.len(), 3);
    drop(member);
    drop(backend);
    let watcher = connect(database.url()).await;
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let gone = async {
        while watcher
            .query_one(others, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            > 0
        {
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(HANG, gone).await;
    gone.expect("no connection stays open");
}
