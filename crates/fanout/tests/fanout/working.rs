//! Ordinary work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use fanout::{
    Backend, BackendExt, BoxError, Consumer, Delivery, ErrorKind, Handler, MemberName,
    MemoryBackend, NewMessage, Outcome, Settlement, TopicConfig, TopicName, Verdict,
};
use tokio::sync::{Semaphore, mpsc};

use crate::support::{World, ended, guarded, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_members_handle_everything_once() {
    let world = World::new().await;
    let consumer = world.consumer().members(3).batch_size(64).concurrency(8);
    let handle = consumer.handle();
    let (seen, mut received) = mpsc::unbounded_channel();
    let running = tokio::spawn(consumer.run(move |delivery: &Delivery| {
        let (seen, id) = (seen.clone(), delivery.message.id);
        async move { seen.send(id).map_err(BoxError::from) }
    }));
    let ids = world.publish(2_000).await;
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    let mut handled = Vec::new();
    while let Some(id) = received.recv().await {
        handled.push(id);
    }
    handled.sort();
    assert_eq!(handled, ids);
    let counters = handle.counters();
    assert_eq!((counters.delivered, counters.done), (2_000, 2_000));
    assert_eq!((counters.failed, counters.refused), (0, 0));
    assert!(counters.heartbeats >= 3);
}

async fn ignore(_: &Delivery) -> Result<(), BoxError> {
    Ok(())
}

#[tokio::test]
async fn a_function_is_a_handler_and_a_queue_names_no_group() {
    let backend = MemoryBackend::new();
    let topic = TopicName::new("q").unwrap();
    backend
        .create_topic(&topic, TopicConfig::queue())
        .await
        .unwrap();
    let consumer = Consumer::queue(Arc::new(backend.clone()), topic.clone())
        .name(MemberName::new("worker").unwrap());
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(ignore));
    backend
        .publish_one(&topic, NewMessage::new("x"))
        .await
        .unwrap();
    until(async || handle.counters().done == 1).await;
    handle.stop();
    ended(running).await.unwrap();
}

#[tokio::test]
async fn works_over_a_backend_known_at_run_time_only() {
    let world = World::new().await;
    let backend: Arc<dyn Backend> = Arc::new(world.backend.clone());
    let consumer = world.consumer_on(backend);
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(ignore));
    world.publish(10).await;
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
}

/// Keeps what became of each settlement.
#[derive(Clone, Default)]
struct Watcher(Arc<Mutex<Vec<(Verdict, Outcome)>>>);

impl Handler for Watcher {
    async fn handle(&self, delivery: &Delivery) -> Result<(), BoxError> {
        if delivery.message.payload == "0" {
            Ok(())
        } else {
            Err("no".into())
        }
    }

    fn settled(&self, settlement: &Settlement, outcome: Outcome) {
        self.0
            .lock()
            .unwrap()
            .push((settlement.verdict.clone(), outcome));
    }
}

#[tokio::test]
async fn a_handler_is_told_what_became_of_each_settlement() {
    let world = World::new().await;
    let watcher = Watcher::default();
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(watcher.clone()));
    world.publish(2).await;
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    let mut by_outcome = BTreeMap::new();
    for (verdict, outcome) in watcher.0.lock().unwrap().iter() {
        let name = match outcome {
            Outcome::Applied => "applied",
            Outcome::Retry { .. } => "retry",
            Outcome::DeadLettered => "dead",
            _ => "refused",
        };
        assert_eq!(*verdict == Verdict::Done, *outcome == Outcome::Applied);
        *by_outcome.entry(name).or_insert(0) += 1;
    }
    assert_eq!(
        by_outcome,
        BTreeMap::from([("applied", 1), ("retry", 2), ("dead", 1)])
    );
}

#[tokio::test]
async fn concurrency_and_batch_size_are_limits() {
    let world = World::new().await;
    let consumer = world.consumer().batch_size(10).concurrency(4);
    let handle = consumer.handle();
    let gate = Arc::new(Semaphore::new(0));
    let (running_now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let running = tokio::spawn(consumer.run({
        let (gate, running_now, most) = (gate.clone(), running_now.clone(), most.clone());
        move |_: &Delivery| {
            let (gate, running_now, most) = (gate.clone(), running_now.clone(), most.clone());
            async move {
                let now = running_now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                gate.acquire().await?.forget();
                running_now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        }
    }));
    world.publish(100).await;
    guarded(async {
        while running_now.load(Ordering::SeqCst) < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(world.stats().await.in_flight, 10);
    gate.add_permits(100);
    world.drained().await;
    assert_eq!(most.load(Ordering::SeqCst), 4);
    handle.stop();
    ended(running).await.unwrap();
}

#[tokio::test]
async fn bad_settings_and_missing_subscriptions_are_refused() {
    let world = World::new().await;
    for consumer in [
        world.consumer().members(0),
        world.consumer().batch_size(0),
        world.consumer().concurrency(0),
        world.consumer().poll(
            std::time::Duration::from_secs(2),
            std::time::Duration::from_secs(1),
        ),
    ] {
        let error = consumer.run(ignore).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let other = fanout::GroupName::new("other").unwrap();
    let consumer = Consumer::group(Arc::new(world.backend.clone()), world.topic.clone(), other);
    let error = consumer.run(ignore).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SubscriptionNotFound);
}
