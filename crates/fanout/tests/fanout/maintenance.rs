//! The maintenance runner.

use std::sync::Arc;
use std::time::Duration;

use fanout::ErrorKind::{Closed, Database, Unavailable};
use fanout::{MaintenanceRunner, MemoryBackend};
use tokio::time::Instant;

use crate::faulty::{Call, Faults, Faulty};
use crate::support::{ended, until};

fn runner() -> (MaintenanceRunner<Faulty>, Faults) {
    let faults = Faults::default();
    let backend = Faulty {
        inner: MemoryBackend::new(),
        faults: faults.clone(),
    };
    (MaintenanceRunner::new(Arc::new(backend)), faults)
}

#[tokio::test(start_paused = true)]
async fn runs_at_its_interval_until_it_is_stopped() {
    let (runner, _) = runner();
    let handle = runner.handle();
    let began = Instant::now();
    let running = tokio::spawn(runner.interval(Duration::from_secs(10)).run());
    until(async || handle.counters().rounds == 4).await;
    assert!(began.elapsed() >= Duration::from_secs(30));
    handle.stop();
    ended(running).await.unwrap();
    assert_eq!(handle.counters().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn backs_off_after_failures_and_goes_on() {
    let (runner, faults) = runner();
    faults.plan(Call::Maintain, &[Unavailable, Database, Unavailable]);
    let handle = runner.handle();
    let began = Instant::now();
    let running = tokio::spawn(runner.run());
    until(async || handle.counters().rounds == 1).await;
    assert_eq!(handle.counters().failures, 3);
    assert!(began.elapsed() >= Duration::from_secs(1 + 2 + 4));
    handle.stop();
    ended(running).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_closed_engine_ends_it() {
    let (runner, faults) = runner();
    faults.plan(Call::Maintain, &[Closed]);
    let running = tokio::spawn(runner.run_until(std::future::pending()));
    assert_eq!(ended(running).await.unwrap_err().kind(), Closed);
}
