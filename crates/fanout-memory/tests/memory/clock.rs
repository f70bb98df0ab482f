//! A clock that stands still or steps back makes nothing lost and nothing delivered twice.

use std::time::Duration;

use fanout_core::{Backend, Clock, MemberExt, Outcome};

use crate::stage::{LEASE, Stage, ids, take};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_lease_that_was_seen_to_expire_holds_again_when_the_clock_steps_back() {
    let stage = Stage::new().await;
    let (a, b) = (stage.join("g").await, stage.join("g").await);
    stage.publish(2, 1).await.unwrap();
    let held = take(&a, 2).await;
    let start = stage.clock.now();

    // Both have expired by now, and only one is taken.
    stage.clock.advance(LEASE);
    assert_eq!(ids(&take(&b, 1).await), [1]);
    stage.clock.set(start);
    assert!(
        take(&b, 2).await.is_empty(),
        "the first lease of 2 has not ended by this clock"
    );
    assert!(a.done(&held[0]).await.is_err(), "1 was delivered again");
    a.done(&held[1]).await.unwrap();

    stage.clock.advance(LEASE * 2);
    assert_eq!(ids(&take(&b, 2).await), [1]);
}

#[tokio::test]
async fn a_far_step_back_delays_and_loses_nothing() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(3, 1).await.unwrap();
    let held = take(&member, 2).await;
    let Outcome::Retry { due } = member.fail(&held[0], "no").await.unwrap() else {
        panic!("not the last attempt");
    };
    stage.clock.set(stage.clock.now() - HOUR);
    assert_eq!(
        ids(&take(&member, 3).await),
        [3],
        "what waits for no time is delivered"
    );
    let stats = &stage.backend.stats(&stage.topic).await.unwrap()[0];
    assert_eq!((stats.pending, stats.in_flight, stats.delayed), (3, 2, 1));

    stage.clock.set(due);
    assert_eq!(
        ids(&take(&member, 3).await),
        [1, 3],
        "3 was leased by the earlier clock"
    );
    stage.clock.advance(LEASE);
    assert_eq!(ids(&take(&member, 3).await), [1, 2, 3]);
}

#[tokio::test]
async fn messages_written_by_a_clock_that_steps_back_come_by_id() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    stage.clock.set(stage.clock.now() - HOUR);
    stage.publish(1, 1).await.unwrap();
    let taken = take(&member, 2).await;
    assert_eq!(ids(&taken), [1, 2]);
    assert!(taken[0].message.created_at > taken[1].message.created_at);
    let stats = &stage.backend.stats(&stage.topic).await.unwrap()[0];
    assert_eq!(stats.lag(), Duration::ZERO);
}

#[tokio::test]
async fn a_released_message_is_due_by_any_clock() {
    let stage = Stage::new().await;
    let member = stage.join("g").await;
    stage.publish(1, 1).await.unwrap();
    let held = take(&member, 1).await;
    member.release(&held[0]).await.unwrap();
    stage.clock.set(stage.clock.now() - HOUR);
    assert_eq!(ids(&take(&member, 1).await), [1]);
}
