//! F2: what was published one after the other under a key is first delivered in that order, and settled
//! in it, however late others commit, whatever fails, and while lanes change hands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{CompletionMode, MessageId, OnFailure, Ordering};
use tokio::task::JoinSet;

use crate::support::{
    Fate, Known, Ledger, Published, Publishers, Refusals, Stage, Worker, full, options, report,
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

/// Pairs of messages of a key, the first of which had committed before the publish of the second began.
fn pairs(
    messages: &BTreeMap<MessageId, Known>,
) -> impl Iterator<Item = (MessageId, MessageId)> + '_ {
    let mut by_key: HashMap<&str, Vec<(MessageId, &Known)>> = HashMap::new();
    for (id, known) in messages {
        let key = known.key.as_deref().expect("all have keys");
        by_key.entry(key).or_default().push((*id, known));
    }
    by_key.into_values().flat_map(|of_key| {
        let mut pairs = Vec::new();
        for (a, first) in &of_key {
            for (b, second) in &of_key {
                if first.committed < second.began {
                    pairs.push((*a, *b));
                }
            }
        }
        pairs
    })
}

async fn keeps_order(mode: CompletionMode, on_failure: OnFailure) {
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
    let publishing = stage.process(plan.count).await;
    let published = Arc::new(Published::default());
    plan.run(&publishing, &stage.topic.name, &ledger, &published, None)
        .await;
    ledger.until_settled(published.count()).await;
    done.store(true, Relaxed);
    let mut refused = 0;
    while let Some(end) = workers.join_next().await {
        refused += end.expect("no worker panics").out_of_order;
    }

    let messages = published.messages();
    let fates: BTreeMap<MessageId, Fate> = ledger.fates("group");
    assert!(messages.keys().eq(fates.keys()), "lost, or never committed");
    assert!(fates.values().all(|fate| fate.settlements == 1));
    let mut count = 0;
    for (a, b) in pairs(&messages) {
        count += 1;
        let (first, second) = (&fates[&a], &fates[&b]);
        let history = || {
            let (known, later) = (&messages[&a], &messages[&b]);
            format!("{a}: {known:?} {first:?}\n{b}: {later:?} {second:?}")
        };
        assert!(
            first.first_delivered < second.first_delivered,
            "{b} was delivered before {a}\n{}",
            history()
        );
        assert!(
            second.settled > first.left_order,
            "{b} was settled before {a} was settled or parked\n{}",
            history()
        );
    }
    let failures: u32 = fates.values().map(|fate| fate.failures).sum();
    let late = published.late().0;
    report(&format!(
        "{mode} {on_failure}: {} messages, {late} late, {count} pairs in order, {failures} failures, \
         {refused} settlements refused as out of order",
        fates.len()
    ));
    assert!(count > fates.len(), "few messages share a key");
    assert!(late * 20 > fates.len(), "almost all committed in order");
    assert!(failures > 0 && refused > 0);
}

async fn guarded(mode: CompletionMode, on_failure: OnFailure) {
    tokio::time::timeout(HANG, keeps_order(mode, on_failure))
        .await
        .expect("it does not hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_order_is_kept_per_key_with_park_in_reference_counting() {
    guarded(CompletionMode::ReferenceCounting, OnFailure::Park).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_order_is_kept_per_key_with_block_in_reference_counting() {
    guarded(CompletionMode::ReferenceCounting, OnFailure::Block).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_order_is_kept_per_key_with_park_in_offset_watermark() {
    guarded(CompletionMode::OffsetWatermark, OnFailure::Park).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_order_is_kept_per_key_with_block_in_offset_watermark() {
    guarded(CompletionMode::OffsetWatermark, OnFailure::Block).await;
}
