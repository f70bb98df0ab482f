//! Failures of messages that are read with the log: set aside, and retried on their own.

use fanout_core::{Backend, MemberExt, MessageId, Outcome, Settlement, SubscriptionOptions};

use crate::stage::{LEASE, Stage, ids, is_tracked, offset, per_key, take};

#[tokio::test]
async fn a_parked_message_lets_its_key_go_on_and_comes_back_without_order() {
    for config in [offset(), Default::default()] {
        let stage = Stage::of(config).await;
        let (a, b) = (
            stage.join_with("g", per_key()).await,
            stage.join_with("g", per_key()).await,
        );
        stage.publish_keyed("x x x").await;
        let held = take(&a, 2).await;
        let settlements = [
            Settlement::done(held[1].receipt),
            Settlement::fail(held[0].receipt, "no"),
        ];
        let outcomes = a.settle(&settlements).await.unwrap();
        let [Outcome::Applied, Outcome::Retry { due }] = outcomes[..] else {
            panic!("{outcomes:?}");
        };
        let later = take(&b, 10).await;
        assert_eq!(ids(&later), [3]);
        let stats = stage.stats("g").await;
        assert_eq!((stats.pending, stats.in_flight, stats.delayed), (2, 1, 1));

        stage.clock.set(due);
        let again = take(&a, 10).await;
        assert_eq!((ids(&again), again[0].attempt), (vec![1], 2));
        assert!(is_tracked(&again[0]) && !is_tracked(&later[0]));
        b.done(&later[0]).await.unwrap();
        a.done(&again[0]).await.unwrap();
        assert_eq!(stage.pending("g").await, [0; 0]);
    }
}

#[tokio::test]
async fn a_parked_message_fails_until_its_last_attempt() {
    let stage = Stage::of(offset()).await;
    for options in [per_key(), SubscriptionOptions::default()] {
        let options = SubscriptionOptions {
            max_attempts: 3,
            ..options
        };
        let name = options.ordering.as_str();
        let member = stage.join_with(name, options).await;
        stage.publish_keyed("x").await;
        for attempt in 1..=3 {
            let taken = take(&member, 1).await;
            assert_eq!(taken[0].attempt, attempt);
            assert_eq!(is_tracked(&taken[0]), attempt > 1);
            match member.fail(&taken[0], "no").await.unwrap() {
                Outcome::Retry { due } => stage.clock.set(due),
                outcome => assert_eq!((outcome, attempt), (Outcome::DeadLettered, 3)),
            }
        }
        assert_eq!(stage.pending(name).await, [0; 0]);
        assert_eq!(stage.stats(name).await.dead_letters, 1);
    }
}

#[tokio::test]
async fn one_attempt_is_never_parked() {
    let stage = Stage::of(offset()).await;
    let options = SubscriptionOptions {
        max_attempts: 1,
        ..per_key()
    };
    let member = stage.join_with("g", options).await;
    stage.publish_keyed("x x").await;
    let held = take(&member, 2).await;
    assert_eq!(
        member.fail(&held[0], "no").await.unwrap(),
        Outcome::DeadLettered
    );
    member.done(&held[1]).await.unwrap();
}

#[tokio::test]
async fn what_is_parked_stalls_and_is_released_like_any_message() {
    let stage = Stage::of(offset()).await;
    let options = SubscriptionOptions {
        max_stalls: 1,
        ..per_key()
    };
    let member = stage.join_with("g", options).await;
    stage.publish_keyed("x x").await;
    let held = take(&member, 2).await;
    let Outcome::Retry { due } = member.fail(&held[0], "no").await.unwrap() else {
        panic!("not the last attempt");
    };
    member.done(&held[1]).await.unwrap();
    stage.clock.set(due);
    let again = take(&member, 1).await;
    member.release(&again[0]).await.unwrap();
    let again = take(&member, 1).await;
    assert_eq!((ids(&again), again[0].attempt), (vec![1], 2));
    stage.clock.advance(LEASE);
    assert!(take(&member, 1).await.is_empty());
    let letters = stage.backend.dead_letters(&stage.topic, None, 10);
    assert_eq!(letters.await.unwrap()[0].attempts, 1);
}

#[tokio::test]
async fn untracked_messages_are_not_in_the_accounting() {
    let stage = Stage::of(offset()).await;
    let member = stage.join("g").await;
    stage.publish_keyed("x -").await;
    let held = take(&member, 2).await;
    assert!(!held.iter().any(is_tracked));
    member.fail(&held[0], "no").await.unwrap();
    member.done(&held[1]).await.unwrap();
    let records = stage.backend.accounting(&stage.topic, MessageId(0), 10);
    assert_eq!(records.await.unwrap(), []);
    assert_eq!(stage.pending("g").await, [1]);
}
