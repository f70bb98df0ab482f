//! F3: however many workers settle the messages of a group, and however often lanes change hands, each
//! message is effectively settled once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{Backend, CompletionMode, MemberCounters, NewMessage, OnFailure, Ordering};
use fanout_tests::size::full;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::support::{Chance, Ledger, Refusals, Stage, Worker, options, report};

const WORKERS: usize = 8;
const KEYS: usize = 200;
const HANG: Duration = Duration::from_secs(600);

/// What workers with too much patience do: their leases end while they have messages in hand.
struct Dawdling {
    /// At most two at a time, so that others go on.
    room: Semaphore,
    fetches: watch::Sender<u64>,
    /// Of a hundred batches, how many are settled too late.
    percent: usize,
}

struct Ended {
    counters: MemberCounters,
    refusals: Refusals,
    dawdled: u64,
}

async fn work(
    mut worker: Worker,
    stage: Arc<Stage>,
    dawdling: Arc<Dawdling>,
    done: Arc<AtomicBool>,
) -> Ended {
    let mut dawdled = 0;
    while !done.load(Relaxed) {
        let deliveries = worker.fetch().await;
        dawdling.fetches.send_modify(|fetches| *fetches += 1);
        if !deliveries.is_empty()
            && worker.chance.percent(dawdling.percent)
            && let Ok(_alone) = dawdling.room.try_acquire()
        {
            dawdled += 1;
            stage.end_leases();
            // Long enough for every other worker to look for lanes and take them.
            let until = *dawdling.fetches.borrow() + 4 * WORKERS as u64;
            let mut fetches = dawdling.fetches.subscribe();
            let _ = fetches.wait_for(|fetches| *fetches >= until).await;
        }
        if deliveries.is_empty() {
            tokio::task::yield_now().await;
        }
        worker.settle(deliveries).await;
    }
    Ended {
        counters: worker.member.counters(),
        refusals: worker.refusals,
        dawdled,
    }
}

/// Runs eight workers, each a process of its own.
async fn effectively_once(mode: CompletionMode, ordering: Ordering) {
    let messages = if full() { 50_000 } else { 3_000 };
    let stage = Arc::new(Stage::new(mode).await);
    stage
        .subscribe("group", options(ordering, OnFailure::Park))
        .await;
    let ledger = Arc::new(Ledger::default());
    let done = Arc::new(AtomicBool::new(false));
    let dawdling = Arc::new(Dawdling {
        room: Semaphore::new(2),
        fetches: watch::Sender::new(0),
        percent: 4,
    });
    let mut workers = JoinSet::new();
    for number in 0..WORKERS {
        let process = stage.process(3).await;
        let member = stage.join(&process, "group").await;
        let mut worker = Worker::new(member, &ledger, 100 + number as u64);
        worker.failing = 3;
        workers.spawn(work(worker, stage.clone(), dawdling.clone(), done.clone()));
    }

    let mut chance = Chance::new(7);
    let mut published = Vec::new();
    while published.len() < messages {
        let message =
            |chance: &mut Chance| NewMessage::new("m").key(format!("key {}", chance.below(KEYS)));
        let batch = (0..20).map(|_| message(&mut chance)).collect();
        let topic = &stage.topic.name;
        published.extend(
            stage
                .backend
                .publish(topic, batch)
                .await
                .expect("publishes"),
        );
    }
    ledger.until_settled(published.len()).await;
    // Longer, so that a second settlement has a chance.
    let fetched = *dawdling.fetches.borrow();
    let mut fetches = dawdling.fetches.subscribe();
    stage.end_leases();
    let _ = fetches
        .wait_for(|fetches| *fetches >= fetched + 8 * WORKERS as u64)
        .await;
    done.store(true, Relaxed);
    let mut ended = Vec::new();
    while let Some(end) = workers.join_next().await {
        ended.push(end.expect("no worker panics"));
    }

    let fates = ledger.fates("group");
    let published: std::collections::BTreeSet<_> = published.into_iter().collect();
    assert!(
        fates.keys().all(|id| published.contains(id)),
        "something was delivered that was not published"
    );
    let not_once: Vec<_> = fates
        .iter()
        .filter(|(_, fate)| fate.settlements != 1)
        .collect();
    assert!(not_once.is_empty(), "not settled once: {not_once:?}");
    assert_eq!(fates.len(), published.len());
    assert_eq!(stage.pending().await, 0);

    let sum = |of: fn(&Ended) -> u64| ended.iter().map(of).sum::<u64>();
    let attempts = sum(|e| e.counters.completion_attempts);
    let conflicts = sum(|e| e.counters.completion_conflicts);
    let (stale, fenced) = (sum(|e| e.refusals.stale), sum(|e| e.refusals.fenced));
    let redelivered: u32 = fates.values().map(|fate| fate.deliveries - 1).sum();
    report(&format!(
        "{mode} {ordering}: {} settled, {conflicts} conflicts of {attempts} attempts, \
         {stale} stale, {fenced} fenced, {redelivered} redelivered, {} ran over their leases",
        fates.len(),
        sum(|e| e.dawdled),
    ));
    assert!(redelivered > 0, "no lease ended with messages in hand");
    let by_cursor = fates.values().filter(|fate| fate.read_by_cursor).count();
    if mode == CompletionMode::ReferenceCounting && ordering == Ordering::Unordered {
        assert_eq!(by_cursor, 0);
        assert!(stale > 0, "no settlement was late");
    } else {
        assert_eq!(by_cursor, fates.len());
        assert!(fenced > 0, "no settlement was fenced");
        assert!(conflicts > 0, "no cursor was moved by two");
        assert!(conflicts <= attempts);
    }
    let refused = sum(|e| e.refusals.stale + e.refusals.fenced + e.refusals.out_of_order);
    assert_eq!(sum(|e| e.counters.refused), refused, "refusals are counted");
    assert_eq!(
        sum(|e| e.counters.delivered),
        fates
            .values()
            .map(|fate| u64::from(fate.deliveries))
            .sum::<u64>(),
        "deliveries are counted"
    );
}

async fn guarded(mode: CompletionMode, ordering: Ordering) {
    tokio::time::timeout(HANG, effectively_once(mode, ordering))
        .await
        .expect("it does not hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_each_message_is_settled_once_by_reference_counting_without_order() {
    guarded(CompletionMode::ReferenceCounting, Ordering::Unordered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_each_message_is_settled_once_by_reference_counting_per_key() {
    guarded(CompletionMode::ReferenceCounting, Ordering::PerKey).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_each_message_is_settled_once_by_offset_watermark_without_order() {
    guarded(CompletionMode::OffsetWatermark, Ordering::Unordered).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_each_message_is_settled_once_by_offset_watermark_per_key() {
    guarded(CompletionMode::OffsetWatermark, Ordering::PerKey).await;
}
