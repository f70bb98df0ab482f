//! The jitter of backoff comes from the seed.

use std::time::Duration;

use fanout_core::{Backoff, Clock, MemberExt, Outcome};
use fanout_memory::{MemoryBackend, MemoryBuilder};

use crate::stage::{Stage, take};

/// How long each of some failed messages has to wait.
async fn waits(builder: MemoryBuilder) -> Vec<Duration> {
    let stage = Stage::with(builder).await;
    let member = stage.join("g").await;
    stage.publish(20, 1).await.unwrap();
    let mut waits = Vec::new();
    for delivery in take(&member, 20).await {
        let Outcome::Retry { due } = member.fail(&delivery, "no").await.unwrap() else {
            panic!("not the last attempt");
        };
        waits.push(due.since(stage.clock.now()));
    }
    waits
}

#[tokio::test]
async fn one_seed_gives_one_run() {
    let seeded = || MemoryBackend::builder().seed(7);
    let first = waits(seeded()).await;
    assert_eq!(first, waits(seeded()).await);
    assert_ne!(first, waits(MemoryBackend::builder().seed(8)).await);
    let default = waits(MemoryBackend::builder()).await;
    assert_eq!(
        default,
        waits(MemoryBackend::builder()).await,
        "the default is a fixed seed"
    );
}

#[tokio::test]
async fn the_spread_is_used_and_kept() {
    let waits = waits(MemoryBackend::builder()).await;
    let backoff = Backoff::default();
    let (low, high) = (backoff.delay(1, 0.0), backoff.delay(1, 1.0));
    assert!(
        waits.iter().all(|wait| (low..=high).contains(wait)),
        "{waits:?}"
    );
    let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    assert!(*most - *least > (high - low) / 4, "{waits:?}");
}
