//! K2: eight workers commit the offsets of one group and rarely meet on a cursor, although lanes are
//! taken over while they commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{
    Backend, CompletionMode, JoinOptions, MemberCounters, MemberName, NewMessage, OnFailure,
    Ordering,
};
use fanout_tests::size::full;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::support::{Ledger, Refusals, Stage, Worker, group_name, options, report};

const WORKERS: usize = 8;
const HANG: Duration = Duration::from_secs(900);

/// Ends the leases of a member's lanes, as if it had made no call for long.
const EXPIRE: &str = "
    WITH member AS (
        UPDATE fanout.outbox_group_members SET expires_at = '-infinity' WHERE name = $1)
    UPDATE fanout.outbox_lane_leases SET expires_at = '-infinity' WHERE owner LIKE $1 || '#%'";

const OWNED: &str = "SELECT count(*) FROM fanout.outbox_lane_leases WHERE owner LIKE $1 || '#%'";

struct Ended {
    counters: MemberCounters,
    refusals: Refusals,
    /// Takeovers while this worker was about to commit; in half of them it waited for the other.
    forced: usize,
}

async fn work(
    mut worker: Worker,
    name: String,
    client: Client,
    one_at_a_time: Arc<Semaphore>,
    done: Arc<AtomicBool>,
) -> Ended {
    let mut forced = 0;
    while !done.load(Relaxed) {
        let deliveries = worker.fetch().await;
        if deliveries.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        if worker.chance.percent(3)
            && let Ok(_turn) = one_at_a_time.try_acquire()
        {
            forced += 1;
            client.execute(EXPIRE, &[&name]).await.expect("expires");
            if worker.chance.percent(50) {
                while !done.load(Relaxed) {
                    let row = client.query_one(OWNED, &[&name]).await.expect("reads");
                    if row.get::<_, i64>(0) == 0 {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
        worker.settle_piece(deliveries).await;
    }
    Ended {
        counters: worker.member.counters(),
        refusals: worker.refusals,
        forced,
    }
}

async fn conflicts_are_rare(ordering: Ordering) {
    let messages = if full() { 60_000 } else { 8_000 };
    let stage = Stage::new(CompletionMode::OffsetWatermark).await;
    stage
        .subscribe("group", options(ordering, OnFailure::Park))
        .await;
    let ledger = Arc::new(Ledger::default());
    let done = Arc::new(AtomicBool::new(false));
    let one_at_a_time = Arc::new(Semaphore::new(1));
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let process = stage.process(3).await;
        let name = format!("worker-{number}");
        let options = JoinOptions::named(MemberName::new(name.as_str()).expect("a valid name"));
        let member = process
            .join(&stage.topic.name, Some(&group_name("group")), options)
            .await
            .expect("joins");
        let worker = Worker::new(member, &ledger, number as u64);
        let client = stage.connect().await;
        let (turns, done) = (one_at_a_time.clone(), done.clone());
        workers.spawn(work(worker, name, client, turns, done));
    }
    for batch in 0..messages / 40 {
        let message = |n: usize| NewMessage::new("m").key(format!("{}", (batch * 40 + n) % 500));
        let batch = (0..40).map(message).collect();
        let topic = &stage.topic.name;
        stage
            .backend
            .publish(topic, batch)
            .await
            .expect("publishes");
    }
    ledger.until_settled(messages).await;
    done.store(true, Relaxed);
    let mut ended = Vec::new();
    while let Some(end) = workers.join_next().await {
        ended.push(end.expect("no worker panics"));
    }
    let attempts: u64 = ended.iter().map(|e| e.counters.completion_attempts).sum();
    let conflicts: u64 = ended.iter().map(|e| e.counters.completion_conflicts).sum();
    let fenced: u64 = ended.iter().map(|e| e.refusals.fenced).sum();
    let forced: usize = ended.iter().map(|e| e.forced).sum();
    report(&format!(
        "{ordering}: {conflicts} conflicts of {attempts} attempts, {forced} takeovers forced, \
         {fenced} settlements fenced"
    ));
    assert!(
        conflicts > 0 && fenced > 0 && forced > 5,
        "nobody met anybody"
    );
    assert!(
        conflicts * 20 < attempts,
        "{conflicts} conflicts of {attempts} attempts"
    );
    let fates = ledger.fates("group");
    assert_eq!(fates.len(), messages);
    assert!(fates.values().all(|fate| fate.settlements == 1));
    assert_eq!(stage.pending().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k2_offset_commits_rarely_conflict_at_8_workers_without_order() {
    let run = conflicts_are_rare(Ordering::Unordered);
    tokio::time::timeout(HANG, run).await.expect("no hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k2_offset_commits_rarely_conflict_at_8_workers_per_key() {
    let run = conflicts_are_rare(Ordering::PerKey);
    tokio::time::timeout(HANG, run).await.expect("no hang");
}
