//! F2: what was published one after the other under a key is first delivered in that order, and settled
//! in it, however late others commit, whatever fails, and while lanes change hands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{CompletionMode, MessageId, OnFailure, Ordering};
use fanout_tests::size::full;
use tokio::task::JoinSet;

use crate::support::{
    Fate, Ledger, ModeChanges, Published, Publishers, Refusals, Stage, Worker, assert_order,
    options, report,
};

const WORKERS: usize = 8;
const HANG: Duration = Duration::from_secs(900);

fn publishers(seed: u64) -> Publishers {
    Publishers {
        count: 8,
        transactions: if full() { 1_000 } else { 150 },
        batch: 5,
        keys: 1_000,
        held: 25,
        sleeping: 10,
        rolled_back: 10,
        savepoints: 10,
        repeatable: 0,
        seed,
    }
}

/// Works until all is done; now and then it leaves, and another takes its place.
async fn work(
    stage: Arc<Stage>,
    number: u64,
    ledger: Arc<Ledger>,
    done: Arc<AtomicBool>,
) -> Refusals {
    let process = stage.process(2).await;
    let member = stage.join(&process, "group").await;
    let mut worker = Worker::new(member, &ledger, number);
    worker.failing = 5;
    while !done.load(Relaxed) {
        if worker.turn().await == 0 {
            tokio::task::yield_now().await;
        }
        if worker.chance.percent(2) {
            worker.member.leave().await.expect("leaves");
            worker.member = stage.join(&process, "group").await;
        }
    }
    worker.refusals
}

async fn keeps_order(mode: CompletionMode, on_failure: OnFailure, changing: bool) {
    let stage = Arc::new(Stage::new(mode).await);
    stage
        .subscribe("group", options(Ordering::PerKey, on_failure))
        .await;
    let ledger = Arc::new(Ledger::default());
    let done = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for number in 0..WORKERS as u64 {
        workers.spawn(work(stage.clone(), number, ledger.clone(), done.clone()));
    }
    let plan = publishers(on_failure as u64);
    let publishing = stage.process(plan.count + 1).await;
    let changes = if changing {
        Some(ModeChanges::start(&stage, &ledger, 100).await)
    } else {
        None
    };
    let published = Arc::new(Published::default());
    plan.run(&publishing, &stage.topic.name, &ledger, &published, None)
        .await;
    ledger.until_settled(published.count()).await;
    let changed = match changes {
        Some(changes) => changes.stop().await,
        None => 0,
    };
    done.store(true, Relaxed);
    let mut refused = 0;
    while let Some(end) = workers.join_next().await {
        refused += end.expect("no worker panics").out_of_order;
    }

    let messages = published.messages();
    let fates: BTreeMap<MessageId, Fate> = ledger.fates("group");
    assert!(messages.keys().eq(fates.keys()), "lost, or never committed");
    assert!(fates.values().all(|fate| fate.settlements == 1));
    let count = assert_order(&messages, &fates);
    let failures: u32 = fates.values().map(|fate| fate.failures).sum();
    let late = published.late().0;
    report(&format!(
        "{mode} {on_failure}, {changed} mode changes: {} messages, {late} late, {count} pairs in order, {failures} failures, \
         {refused} settlements refused as out of order",
        fates.len()
    ));
    assert!(count > fates.len(), "few messages share a key");
    assert!(late * 20 > fates.len(), "almost all committed in order");
    assert!(failures > 0 && refused > 0);
    assert!(!changing || changed > 10, "the mode hardly changed");
}

async fn guarded(mode: CompletionMode, on_failure: OnFailure, changing: bool) {
    tokio::time::timeout(HANG, keeps_order(mode, on_failure, changing))
        .await
        .expect("it does not hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_order_is_kept_per_key_with_park_in_reference_counting() {
    guarded(CompletionMode::ReferenceCounting, OnFailure::Park, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_order_is_kept_per_key_with_block_in_reference_counting() {
    guarded(CompletionMode::ReferenceCounting, OnFailure::Block, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_order_is_kept_per_key_with_park_in_offset_watermark() {
    guarded(CompletionMode::OffsetWatermark, OnFailure::Park, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_order_is_kept_per_key_with_block_in_offset_watermark() {
    guarded(CompletionMode::OffsetWatermark, OnFailure::Block, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_order_is_kept_per_key_with_park_across_mode_changes() {
    guarded(CompletionMode::ReferenceCounting, OnFailure::Park, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_order_is_kept_per_key_with_block_across_mode_changes() {
    guarded(CompletionMode::OffsetWatermark, OnFailure::Block, true).await;
}
