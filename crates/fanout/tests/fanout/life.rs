//! The life of the subscription.

use std::sync::Arc;
use std::time::Duration;

use fanout::{Backend, Delivery, ErrorKind, SubscriptionOptions};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::support::{World, ended, impatient, until};

#[tokio::test(start_paused = true)]
async fn a_paused_group_idles_and_goes_on_after_the_resume() {
    let world = World::new().await;
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |_: &Delivery| Ok(())));
    world.publish(10).await;
    world.drained().await;
    world
        .backend
        .pause(&world.topic, &world.group)
        .await
        .unwrap();
    world.publish(10).await;
    // Virtual time: many polls.
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.pending().await, 10);
    assert_eq!(handle.counters().delivered, 10);
    assert!(!running.is_finished());
    world
        .backend
        .resume(&world.topic, &world.group)
        .await
        .unwrap();
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    assert_eq!(handle.counters().done, 20);
}

#[tokio::test]
async fn a_cancelled_group_ends_its_consumers() {
    let world = World::new().await;
    world.publish(10).await;
    let gate = Arc::new(Semaphore::new(0));
    let consumer = world.consumer().members(2).batch_size(4).concurrency(1);
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
    until(async || handle.counters().delivered == 8).await;
    world
        .backend
        .cancel(&world.topic, &world.group)
        .await
        .unwrap();
    gate.add_permits(10);
    let error = ended(running).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SubscriptionEnded, "{error}");
    let counters = handle.counters();
    assert_eq!(counters.done, 0, "its receipts are stale");
    assert!(counters.refused > 0);
}

#[tokio::test(start_paused = true)]
async fn a_group_lives_while_its_handlers_are_busy() {
    let world = World::with(SubscriptionOptions {
        heartbeat_interval: Duration::from_secs(30),
        heartbeat_timeout: Duration::from_secs(60),
        ..impatient()
    })
    .await;
    world.publish(1).await;
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |_: &Delivery| {
        sleep(Duration::from_secs(600)).await;
        Ok(())
    }));
    world.drained().await;
    assert!(handle.counters().heartbeats >= 20);
    let subscription = world
        .backend
        .subscription(&world.topic, &world.group)
        .await
        .unwrap();
    let silent = world
        .stats()
        .await
        .read_at
        .since(subscription.last_heartbeat_at);
    assert!(silent <= Duration::from_secs(30), "{silent:?}");
    handle.stop();
    ended(running).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_finds_the_end_even_when_nothing_is_fetched() {
    let world = World::new().await;
    world.publish(1).await;
    // One message fills the batch, so that the consumer does not fetch again.
    let consumer = world.consumer().batch_size(1).grace(Duration::from_secs(1));
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |_: &Delivery| std::future::pending().await));
    until(async || handle.counters().delivered == 1).await;
    world
        .backend
        .cancel(&world.topic, &world.group)
        .await
        .unwrap();
    let error = ended(running).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SubscriptionEnded);
}
