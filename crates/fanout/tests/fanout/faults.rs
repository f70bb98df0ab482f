//! Calls that fail.

use std::sync::Arc;
use std::time::Duration;

use fanout::ErrorKind::{Closed, Conflict, Database, Unavailable, Unknown};
use fanout::{BoxError, Consumer, Delivery, SubscriptionOptions};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::faulty::{Call, Faults, Faulty};
use crate::support::{World, ended, impatient, until};

fn faulty(world: &World) -> (Consumer<Faulty>, Faults) {
    let faults = Faults::default();
    let backend = Faulty {
        inner: world.backend.clone(),
        faults: faults.clone(),
    };
    (world.consumer_on(Arc::new(backend)), faults)
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_waited_out() {
    let world = World::new().await;
    world.publish(5).await;
    let (consumer, faults) = faulty(&world);
    faults.plan(Call::Join, &[Unavailable, Unavailable]);
    faults.plan(Call::Fetch, &[Unavailable, Conflict]);
    faults.plan(Call::Settle, &[Conflict, Unavailable]);
    faults.plan(Call::Heartbeat, &[Unavailable]);
    faults.plan(Call::Leave, &[Unavailable]);
    let handle = consumer.handle();
    let (seen, mut received) = mpsc::unbounded_channel();
    let running = tokio::spawn(consumer.run(move |delivery: &Delivery| {
        let (seen, id) = (seen.clone(), delivery.message.id);
        async move { seen.send(id).map_err(BoxError::from) }
    }));
    world.drained().await;
    until(async || handle.counters().heartbeats > 0).await;
    handle.stop();
    ended(running).await.unwrap();
    assert!(faults.are_spent());
    let mut handled = 0;
    while received.recv().await.is_some() {
        handled += 1;
    }
    assert_eq!(handled, 5, "settled again, not handled again");
    assert_eq!(handle.counters().errors, 8);
    assert_eq!(handle.counters().done, 5);
}

#[tokio::test(start_paused = true)]
async fn a_settlement_whose_answer_was_lost_is_not_handled_again() {
    let world = World::new().await;
    world.publish(5).await;
    let (consumer, faults) = faulty(&world);
    faults.plan(Call::Settle, &[Unknown]);
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |_: &Delivery| Ok(())));
    until(async || handle.counters().refused == 5).await;
    handle.stop();
    ended(running).await.unwrap();
    assert_eq!(handle.counters().delivered, 5);
    assert_eq!(world.pending().await, 0, "it had taken effect");
}

#[tokio::test(start_paused = true)]
async fn a_failed_extension_is_tried_again_before_the_lease_ends() {
    let lease = Duration::from_secs(10);
    let world = World::with(SubscriptionOptions {
        lease,
        ..impatient()
    })
    .await;
    world.publish(1).await;
    let (consumer, faults) = faulty(&world);
    faults.plan(Call::Extend, &[Unavailable, Unknown, Unavailable]);
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(move |_: &Delivery| async move {
        sleep(lease * 3).await;
        Ok(())
    }));
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    assert!(faults.are_spent());
    assert_eq!(
        (handle.counters().delivered, handle.counters().done),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_ends_the_consumer_after_settling_what_runs() {
    for call in [Call::Fetch, Call::Heartbeat, Call::Extend] {
        let world = World::new().await;
        world.publish(3).await;
        let (consumer, faults) = faulty(&world);
        let consumer = consumer.concurrency(1).grace(Duration::from_secs(1000));
        let handle = consumer.handle();
        let running = tokio::spawn(consumer.run(async |_: &Delivery| {
            sleep(Duration::from_secs(100)).await;
            Ok(())
        }));
        until(async || handle.counters().delivered == 3).await;
        faults.plan(call, &[Database]);
        let error = ended(running).await.unwrap_err();
        assert_eq!(error.kind(), Database, "{call:?}");
        assert_eq!(error.message(), format!("planned call=`{call:?}`"));
        let stats = world.stats().await;
        assert_eq!((stats.pending, stats.in_flight), (2, 0), "{call:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn settlements_that_are_refused_for_good_come_again() {
    let world = World::new().await;
    world.publish(3).await;
    let (consumer, faults) = faulty(&world);
    faults.plan(Call::Settle, &[Closed]);
    let running = tokio::spawn(consumer.run(async |_: &Delivery| Ok(())));
    let error = ended(running).await.unwrap_err();
    assert_eq!(error.kind(), Closed);
    assert_eq!(world.fetchable().await, 3);
}

#[tokio::test(start_paused = true)]
async fn one_member_that_fails_ends_the_others_gracefully() {
    let world = World::new().await;
    let (consumer, faults) = faulty(&world);
    let consumer = consumer.members(3);
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |_: &Delivery| Ok(())));
    until(async || handle.counters().heartbeats == 3).await;
    faults.plan(Call::Fetch, &[Database]);
    assert_eq!(ended(running).await.unwrap_err().kind(), Database);
    world.publish(1).await;
    assert_eq!(world.fetchable().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_up_on_an_engine_that_stays_away() {
    let world = World::new().await;
    world.publish(1).await;
    let (consumer, faults) = faulty(&world);
    faults.plan(Call::Settle, &[Unavailable; 100]);
    faults.plan(Call::Leave, &[Unavailable; 100]);
    let consumer = consumer.grace(Duration::from_secs(3));
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |_: &Delivery| Ok(())));
    until(async || handle.counters().errors > 0).await;
    handle.stop();
    assert_eq!(ended(running).await.unwrap_err().kind(), Unavailable);
    assert_eq!(world.pending().await, 1, "nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_up_on_calls_that_never_end() {
    for call in [Call::Settle, Call::Fetch] {
        let world = World::new().await;
        world.publish(1).await;
        let (consumer, faults) = faulty(&world);
        // Leaving waits for whatever call is under way.
        faults.one_at_a_time();
        faults.delay(call, Duration::from_secs(1_000_000));
        let consumer = consumer.grace(Duration::from_secs(3));
        let handle = consumer.handle();
        let running = tokio::spawn(consumer.run(async |_: &Delivery| Ok(())));
        match call {
            Call::Settle => until(async || world.pending().await == 0).await,
            _ => until(async || world.stats().await.in_flight == 1).await,
        }
        handle.stop();
        ended(running).await.unwrap();
    }
}
