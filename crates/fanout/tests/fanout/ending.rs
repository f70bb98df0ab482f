//! Stopping.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanout::Delivery;
use tokio::sync::{Semaphore, oneshot};

use crate::support::{World, ended, guarded, until};

#[tokio::test]
async fn a_stop_ends_what_runs_and_gives_back_the_rest() {
    let world = World::new().await;
    world.publish(50).await;
    let consumer = world.consumer().batch_size(20).concurrency(3);
    let handle = consumer.handle();
    let gate = Arc::new(Semaphore::new(0));
    let begun = Arc::new(AtomicUsize::new(0));
    let running = tokio::spawn(consumer.run({
        let (gate, begun) = (gate.clone(), begun.clone());
        move |_: &Delivery| {
            let (gate, begun) = (gate.clone(), begun.clone());
            async move {
                begun.fetch_add(1, Ordering::SeqCst);
                gate.acquire().await?.forget();
                Ok(())
            }
        }
    }));
    until(async || begun.load(Ordering::SeqCst) == 3).await;
    handle.stop();
    // What has not begun is given back although handlers still run.
    until(async || handle.counters().released == 17).await;
    assert_eq!(world.stats().await.in_flight, 3);
    assert!(!running.is_finished());
    gate.add_permits(3);
    ended(running).await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 3, "nothing new was begun");
    let stats = world.stats().await;
    assert_eq!((stats.pending, stats.in_flight), (47, 0));
    assert_eq!(world.fetchable().await, 47, "nothing waits for a lease");
    assert_eq!(handle.counters().done, 3);
}

#[tokio::test]
async fn a_stop_in_the_middle_of_work_loses_nothing() {
    let world = World::new().await;
    world.publish(3_000).await;
    let mut done = 0;
    // Stopped and started again and again, wherever it stands.
    for round in 1.. {
        let consumer = world.consumer().members(2).batch_size(50).concurrency(4);
        let handle = consumer.handle();
        let running = tokio::spawn(consumer.run(async |_: &Delivery| {
            tokio::task::yield_now().await;
            Ok(())
        }));
        let enough = 37 * round % 200;
        until(async || handle.counters().done >= enough || world.pending().await == 0).await;
        handle.stop();
        ended(running).await.unwrap();
        done += handle.counters().done;
        let stats = world.stats().await;
        assert_eq!(stats.in_flight, 0);
        assert_eq!(stats.pending + done, 3_000);
        assert_eq!(handle.counters().refused, 0);
        if stats.pending == 0 {
            break;
        }
    }
}

#[tokio::test]
async fn run_until_stops_with_its_future_and_a_stop_before_the_run_counts() {
    let world = World::new().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run_until(async |_: &Delivery| Ok(()), async {
        let _ = stopped.await;
    }));
    world.publish(10).await;
    world.drained().await;
    stop.send(()).unwrap();
    ended(running).await.unwrap();
    assert_eq!(handle.counters().done, 10);

    world.publish(1).await;
    let consumer = world.consumer();
    let handle = consumer.handle();
    handle.stop();
    guarded(consumer.run(async |_: &Delivery| Ok(())))
        .await
        .unwrap();
    assert_eq!(handle.counters().delivered, 0);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_ends_is_aborted_after_the_grace() {
    let world = World::new().await;
    world.publish(2).await;
    let consumer = world.consumer().grace(Duration::from_secs(5));
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |_: &Delivery| std::future::pending().await));
    until(async || handle.counters().delivered == 2).await;
    handle.stop();
    ended(running).await.unwrap();
    assert_eq!(world.fetchable().await, 2, "leaving gave them back");
}
