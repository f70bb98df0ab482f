//! Leases of what is in hand.

use std::sync::Arc;
use std::time::Duration;

use fanout::{BackendExt, Delivery, ManualClock, MemberExt, MemoryBackend, SubscriptionOptions};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::support::{World, ended, guarded, impatient, until};

const LEASE: Duration = Duration::from_secs(10);

fn leased() -> SubscriptionOptions {
    SubscriptionOptions {
        lease: LEASE,
        ..impatient()
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_longer_than_the_lease_keeps_its_message() {
    let world = World::with(leased()).await;
    world.publish(20).await;
    // Two run at a time, so that the last ones wait for ten leases before they begin.
    let consumer = world.consumer().concurrency(2);
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |_: &Delivery| {
        sleep(LEASE * 3 / 2).await;
        Ok(())
    }));
    until(async || handle.counters().delivered == 20).await;
    while world.pending().await > 0 {
        assert_eq!(world.fetchable().await, 0, "all of it is in hand");
        sleep(Duration::from_secs(1)).await;
    }
    handle.stop();
    ended(running).await.unwrap();
    let counters = handle.counters();
    assert_eq!((counters.delivered, counters.done), (20, 20));
    assert_eq!((counters.refused, counters.lost), (0, 0));
    assert!(counters.extended >= 20);
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_settles_nothing_and_what_has_not_begun_is_dropped() {
    // The engine's clock is not the runtime's here: it jumps beyond the leases at once.
    let clock = Arc::new(ManualClock::default());
    let backend = MemoryBackend::builder().clock(clock.clone()).build();
    let world = World::of(backend, leased()).await;
    world.publish(3).await;
    let gate = Arc::new(Semaphore::new(0));
    let consumer = world.consumer().concurrency(1);
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run({
        let gate = gate.clone();
        move |_: &Delivery| {
            let gate = gate.clone();
            async move {
                gate.acquire().await?.forget();
                Ok(())
            }
        }
    }));
    until(async || handle.counters().delivered == 3).await;
    clock.advance(LEASE);
    let other = world
        .backend
        .join_group(&world.topic, &world.group)
        .await
        .unwrap();
    let taken = other.fetch(10).await.unwrap().deliveries;
    assert_eq!(taken.len(), 3);
    // The next extension finds out.
    until(async || handle.counters().lost == 2).await;
    gate.add_permits(10);
    until(async || handle.counters().refused == 1).await;
    assert_eq!(handle.counters().done, 0);
    assert_eq!(other.done_all(&taken).await.unwrap(), 3);
    handle.stop();
    ended(running).await.unwrap();
    assert_eq!(world.pending().await, 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_consumer_is_a_crash() {
    let world = World::with(leased()).await;
    world.publish(5).await;
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |_: &Delivery| std::future::pending().await));
    until(async || handle.counters().delivered == 5).await;
    running.abort();
    assert!(guarded(running).await.unwrap_err().is_cancelled());
    assert_eq!(world.fetchable().await, 0);
    sleep(LEASE).await;
    assert_eq!(
        world.fetchable().await,
        5,
        "they come again after the lease"
    );
}
