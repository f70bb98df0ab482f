//! X1: the mode of a topic changes back and forth under load, while publishers hold the former mode open:
//! nothing is lost, nothing comes twice whose lease has not ended, order is kept per key, and nobody waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{Backend, CompletionMode, MessageId, OnFailure, Ordering};
use fanout_tests::size::full;
use tokio::task::JoinSet;

use crate::support::{
    Fate, Ledger, ModeChanges, Published, Publishers, Stage, Worker, assert_order, options, report,
};

const GROUPS: [(&str, Ordering, OnFailure); 4] = [
    ("unordered", Ordering::Unordered, OnFailure::Park),
    ("another", Ordering::Unordered, OnFailure::Park),
    ("parking", Ordering::PerKey, OnFailure::Park),
    ("blocking", Ordering::PerKey, OnFailure::Block),
];
const PROCESSES: u64 = 2;
const HANG: Duration = Duration::from_secs(900);

fn publishers(seed: u64) -> Publishers {
    Publishers {
        count: 8,
        transactions: if full() { 1_000 } else { 100 },
        batch: 6,
        keys: 200,
        held: 30,
        sleeping: 10,
        rolled_back: 10,
        savepoints: 10,
        repeatable: 20,
        seed,
    }
}

async fn under_load(mode: CompletionMode) {
    let stage = Arc::new(Stage::new(mode).await);
    let ledger = Arc::new(Ledger::default());
    let done = Arc::new(AtomicBool::new(false));
    for (group, ordering, on_failure) in GROUPS {
        stage.subscribe(group, options(ordering, on_failure)).await;
    }
    let mut workers = JoinSet::new();
    for process in 0..PROCESSES {
        let backend = stage.process(8).await;
        for (number, (group, ..)) in GROUPS.iter().enumerate() {
            let member = stage.join(&backend, group).await;
            let mut worker = Worker::new(member, &ledger, 10 * process + number as u64);
            worker.failing = 3;
            let done = done.clone();
            workers.spawn(async move {
                while !done.load(Relaxed) {
                    if worker.turn().await == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
    }
    let plan = publishers(7);
    let publishing = stage.process(plan.count + 1).await;
    let published = Arc::new(Published::default());
    let changes = ModeChanges::start(&stage, &ledger, 200).await;
    plan.run(&publishing, &stage.topic.name, &ledger, &published, None)
        .await;
    ledger.until_settled(GROUPS.len() * published.count()).await;
    let changed = changes.stop().await;
    done.store(true, Relaxed);
    while let Some(end) = workers.join_next().await {
        end.expect("no worker panics");
    }

    let messages = published.messages();
    for (group, ordering, on_failure) in GROUPS {
        let fates: BTreeMap<MessageId, Fate> = ledger.fates(group);
        assert!(
            messages.keys().eq(fates.keys()),
            "{group}: lost, or never committed"
        );
        let not_once: Vec<_> = fates.iter().filter(|(_, f)| f.settlements != 1).collect();
        assert!(
            not_once.is_empty(),
            "{group}: not settled once {not_once:?}"
        );
        // No lease ends here, so what fails or is given back comes again, and nothing else. (A failure that
        // blocks its lane gives back others.)
        let twice: Vec<_> = fates
            .iter()
            .filter(|(_, fate)| fate.deliveries != 1 + fate.failures + fate.releases)
            .collect();
        assert!(
            twice.is_empty() || on_failure == OnFailure::Block,
            "{group}: came twice {twice:?}"
        );
        let by_cursor = fates.values().filter(|fate| fate.read_by_cursor).count();
        let mut pairs = 0;
        if ordering == Ordering::PerKey {
            pairs = assert_order(&messages, &fates);
            assert_eq!(by_cursor, fates.len(), "{group} reads by cursor alone");
        } else {
            let few = fates.len() / 20;
            assert!(
                by_cursor > few && fates.len() - by_cursor > few,
                "{group}: {by_cursor} of {} came by cursor",
                fates.len()
            );
        }
        report(&format!(
            "{mode}, {group}: {} settled once, {by_cursor} by cursor, {pairs} pairs in order",
            fates.len()
        ));
    }
    let late = published.late().0;
    report(&format!(
        "{changed} changes, {late} messages committed late"
    ));
    assert!(changed > 10, "the mode hardly changed");
    assert!(late * 20 > messages.len(), "almost all committed in order");
    assert_eq!(stage.pending().await, 0);
    let topic = &stage.topic.name;
    for of in [mode, mode.other()] {
        let remaining = stage.backend.remaining(topic, of).await.expect("reads");
        assert!(
            remaining.iter().all(|left| left.messages == 0),
            "{of}: {remaining:?}"
        );
    }
    // One round to see that all is decided, one for a tick that came late.
    for _ in 0..3 {
        stage.backend.maintain().await.expect("maintains");
    }
    let watermark = stage.backend.watermark(topic).await.expect("reads");
    let highest = messages.into_keys().next_back().expect("some");
    assert!(watermark.id >= highest, "{watermark:?} of {highest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x1_mode_changes_under_load_lose_and_double_nothing_from_reference_counting() {
    let run = under_load(CompletionMode::ReferenceCounting);
    tokio::time::timeout(HANG, run).await.expect("no hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x1_mode_changes_under_load_lose_and_double_nothing_from_offset_watermark() {
    let run = under_load(CompletionMode::OffsetWatermark);
    tokio::time::timeout(HANG, run).await.expect("no hang");
}
