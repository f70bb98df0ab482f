//! Failures that hold up their lanes.

use fanout_core::{
    Backend, ErrorKind, MemberExt, Outcome, Settlement, Subscribe, SubscriptionOptions, Timestamp,
};

use crate::stage::{
    LEASE, Stage, blocking, group, ids, is_tracked, kind, offset, one_lane, per_key, take,
};

fn due(outcome: Outcome) -> Timestamp {
    match outcome {
        Outcome::Retry { due } => due,
        other => panic!("no retry: {other:?}"),
    }
}

#[tokio::test]
async fn a_failure_takes_back_what_came_after_it_and_the_lane_waits() {
    let stage = Stage::of(one_lane()).await;
    let (a, b) = (
        stage.join_with("g", blocking()).await,
        stage.join_with("g", blocking()).await,
    );
    stage.publish_keyed("x y z y - z").await;
    let held = take(&a, 2).await;
    let others = take(&b, 10).await;
    assert_eq!(ids(&others), [3, 5, 6]);

    let due = due(a.fail(&held[1], "no").await.unwrap());
    for receipt in &others {
        assert_eq!(kind(b.done(receipt).await), ErrorKind::StaleReceipt);
    }
    a.done(&held[0]).await.unwrap();
    stage.publish_keyed("w").await;
    for member in [&a, &b] {
        assert!(take(member, 10).await.is_empty());
    }
    let stats = stage.stats("g").await;
    assert_eq!((stats.pending, stats.in_flight, stats.delayed), (6, 0, 1));

    stage.clock.set(due);
    let again = take(&b, 10).await;
    assert_eq!(ids(&again), [2, 3, 4, 5, 6, 7]);
    let attempts: Vec<_> = again.iter().map(|d| d.attempt).collect();
    assert_eq!(attempts, [2, 1, 1, 1, 1, 1]);
    assert!(!is_tracked(&again[0]), "it was not set aside");
    assert_eq!(b.done_all(&again).await.unwrap(), 6);
}

#[tokio::test]
async fn other_lanes_go_on() {
    let stage = Stage::of(offset()).await;
    let member = stage.join_with("g", blocking()).await;
    // The keys have different lanes of 8.
    stage.publish_keyed("order-42 a order-42").await;
    let held = take(&member, 10).await;
    let due = due(member.fail(&held[0], "no").await.unwrap());
    member.done(&held[1]).await.unwrap();
    stage.publish_keyed("a").await;
    assert_eq!(ids(&take(&member, 10).await), [4]);
    stage.clock.set(due);
    assert_eq!(ids(&take(&member, 10).await), [1, 3]);
}

#[tokio::test]
async fn later_settlements_of_the_call_are_stale() {
    let stage = Stage::of(one_lane()).await;
    let member = stage.join_with("g", blocking()).await;
    stage.publish_keyed("x y z").await;
    let held = take(&member, 10).await;
    let settlements = [
        Settlement::done(held[2].receipt),
        Settlement::fail(held[1].receipt, "no"),
        Settlement::done(held[0].receipt),
    ];
    let outcomes = member.settle(&settlements).await.unwrap();
    assert_eq!(
        (outcomes[0], outcomes[2]),
        (Outcome::Stale, Outcome::Applied)
    );
    assert!(matches!(outcomes[1], Outcome::Retry { .. }));
    assert_eq!(stage.pending("g").await, [2, 3]);
}

#[tokio::test]
async fn the_last_attempt_lets_the_lane_go_on_at_once() {
    let stage = Stage::of(one_lane()).await;
    let options = SubscriptionOptions {
        max_attempts: 2,
        ..blocking()
    };
    let member = stage.join_with("g", options).await;
    stage.publish_keyed("x y x").await;
    let held = take(&member, 1).await;
    stage
        .clock
        .set(due(member.fail(&held[0], "no").await.unwrap()));
    let held = take(&member, 2).await;
    assert_eq!(
        member.fail(&held[0], "no").await.unwrap(),
        Outcome::DeadLettered
    );
    member.done(&held[1]).await.unwrap();
    assert_eq!(ids(&take(&member, 10).await), [3]);
}

#[tokio::test]
async fn of_two_failures_in_a_lane_the_later_due_time_counts() {
    let stage = Stage::of(one_lane()).await;
    let member = stage.join_with("g", blocking()).await;
    stage.publish_keyed("x y z").await;
    let held = take(&member, 10).await;
    let second = due(member.fail(&held[1], "no").await.unwrap());
    let first = due(member.fail(&held[0], "no").await.unwrap());
    assert_eq!(stage.stats("g").await.delayed, 1, "it is one lane");
    let (earlier, later) = (first.min(second), first.max(second));
    if earlier < later {
        stage.clock.set(earlier);
        assert!(take(&member, 10).await.is_empty());
    }
    stage.clock.set(later);
    assert_eq!(ids(&take(&member, 10).await), [1, 2, 3]);
}

#[tokio::test]
async fn an_expired_lease_in_a_blocked_lane_waits_too() {
    let stage = Stage::of(one_lane()).await;
    let (a, b) = (
        stage.join_with("g", blocking()).await,
        stage.join_with("g", blocking()).await,
    );
    stage.publish_keyed("x y").await;
    let held = take(&a, 2).await;
    a.extend(&[held[0].receipt], std::time::Duration::from_millis(1))
        .await
        .unwrap();
    let due = due(a.fail(&held[1], "no").await.unwrap());
    stage.clock.set(due - std::time::Duration::from_micros(1));
    assert!(take(&b, 10).await.is_empty());
    stage.clock.set(due);
    assert_eq!(ids(&take(&b, 10).await), [1, 2]);
    assert_eq!(kind(a.done(&held[0]).await), ErrorKind::StaleReceipt);
}

#[tokio::test]
async fn what_was_taken_back_did_not_stall() {
    let stage = Stage::of(one_lane()).await;
    let options = SubscriptionOptions {
        max_stalls: 1,
        ..blocking()
    };
    let member = stage.join_with("g", options).await;
    stage.publish_keyed("x y").await;
    let held = take(&member, 2).await;
    let due = due(member.fail(&held[0], "no").await.unwrap());
    stage.clock.set(due + LEASE);
    assert_eq!(ids(&take(&member, 10).await), [1, 2]);
}

#[tokio::test]
async fn a_failure_follows_the_policy_of_its_time() {
    let stage = Stage::of(one_lane()).await;
    let member = stage.join_with("g", blocking()).await;
    let choose = async |options: SubscriptionOptions| {
        let subscribe = Subscribe::from(SubscriptionOptions {
            lease: LEASE,
            ..options
        });
        stage
            .backend
            .subscribe(&stage.topic, &group("g"), subscribe)
            .await
            .unwrap();
    };
    stage.publish_keyed("x y z").await;
    let held = take(&member, 1).await;
    let first = due(member.fail(&held[0], "no").await.unwrap());
    choose(per_key()).await;
    assert!(take(&member, 10).await.is_empty(), "the lane waits already");
    stage.clock.set(first);
    let held = take(&member, 2).await;
    let parked = due(member.fail(&held[0], "no").await.unwrap());
    member.done(&held[1]).await.unwrap();

    choose(blocking()).await;
    stage.clock.set(parked);
    let held = take(&member, 10).await;
    assert_eq!(ids(&held), [1, 3]);
    assert!(is_tracked(&held[0]));
    due(member.fail(&held[0], "no").await.unwrap());
    member.done(&held[1]).await.unwrap();
    stage.publish_keyed("x").await;
    assert_eq!(
        ids(&take(&member, 10).await),
        [4],
        "what was set aside holds nothing up"
    );
}
