//! Handlers that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fanout::{Backend, BackendExt, Backoff, BoxError, DeadReason, Delivery, SubscriptionOptions};
use tokio::time::Instant;

use crate::support::{World, ended, impatient, number};

#[tokio::test]
async fn a_message_that_always_fails_is_tried_again_and_then_given_up() {
    let world = World::new().await;
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |delivery: &Delivery| {
        if number(&delivery.message) == 3 {
            let cause = std::io::Error::other("disk on fire");
            return Err(Box::new(Failure(cause)) as BoxError);
        }
        Ok(())
    }));
    let ids = world.publish(10).await;
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    let dead = world
        .backend
        .dead_letters(&world.topic, None, 10)
        .await
        .unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].message.id, ids[3]);
    assert_eq!(dead[0].attempts, 3);
    assert_eq!(dead[0].reason, DeadReason::AttemptsExhausted);
    assert_eq!(
        dead[0].last_error.as_deref(),
        Some("cannot charge: disk on fire"),
        "the text names the cause too"
    );
    let counters = handle.counters();
    assert_eq!((counters.done, counters.failed), (9, 3));
    assert_eq!((counters.retried, counters.dead_lettered), (2, 1));
    assert_eq!(counters.panicked, 0);
}

#[derive(Debug)]
struct Failure(std::io::Error);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cannot charge")
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test]
async fn a_panic_fails_its_delivery_and_no_other() {
    let world = World::new().await;
    let consumer = world.consumer();
    let handle = consumer.handle();
    let running = tokio::spawn(consumer.run(async |delivery: &Delivery| {
        let number = number(&delivery.message);
        assert!(
            number != 1 || delivery.attempt > 1,
            "message {number} is bad"
        );
        assert!(number != 2, "always");
        Ok(())
    }));
    let ids = world.publish(10).await;
    world.drained().await;
    handle.stop();
    ended(running).await.unwrap();
    let counters = handle.counters();
    assert_eq!((counters.done, counters.panicked), (9, 4));
    assert_eq!((counters.retried, counters.dead_lettered), (3, 1));
    let dead = world
        .backend
        .dead_letters(&world.topic, None, 10)
        .await
        .unwrap();
    assert_eq!(dead[0].message.id, ids[2]);
    assert_eq!(
        dead[0].last_error.as_deref(),
        Some("handler panicked: always")
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_its_backoff_while_others_go_on() {
    let world = World::with(SubscriptionOptions {
        backoff: Backoff::default()
            .with_initial(Duration::from_secs(60))
            .with_jitter(0.0),
        ..impatient()
    })
    .await;
    let consumer = world.consumer();
    let handle = consumer.handle();
    let late = Arc::new(AtomicUsize::new(0));
    let running = tokio::spawn(consumer.run({
        let late = late.clone();
        move |delivery: &Delivery| {
            let first = delivery.attempt == 1;
            let late = late.clone();
            async move {
                if first {
                    return Err("not yet".into());
                }
                late.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        }
    }));
    let began = Instant::now();
    world
        .backend
        .publish_one(&world.topic, fanout::NewMessage::new("0"))
        .await
        .unwrap();
    world.drained().await;
    assert!(began.elapsed() >= Duration::from_secs(60));
    assert_eq!(late.load(Ordering::SeqCst), 1);
    handle.stop();
    ended(running).await.unwrap();
}
