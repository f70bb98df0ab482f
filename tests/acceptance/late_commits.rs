//! Publishers that sleep, roll back and commit out of order: groups that read the log by cursor lose
//! nothing and settle nothing twice, and a reader of `id > last` loses.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{Backend, CompletionMode, MessageId, OnFailure, Ordering};
use fanout_tests::size::full;
use tokio::task::JoinSet;

use crate::support::{IdAboveLast, Ledger, Published, Publishers, Stage, Worker, options, report};

const PUBLISHERS: usize = 24;
const HANG: Duration = Duration::from_secs(900);

fn publishers() -> Publishers {
    Publishers {
        count: PUBLISHERS,
        transactions: if full() { 400 } else { 30 },
        batch: 6,
        keys: 50,
        held: 25,
        sleeping: 40,
        rolled_back: 20,
        savepoints: 20,
        repeatable: 0,
        seed: 42,
    }
}

/// What a reader must have got, and did not.
fn lost(published: &Published, seen: &BTreeSet<MessageId>) -> Vec<MessageId> {
    let messages = published.messages();
    messages
        .into_keys()
        .filter(|id| !seen.contains(id))
        .collect()
}

/// The history must be one that hurts, whoever reads it.
fn must_be_out_of_order(published: &Published) {
    let (late, furthest) = published.late();
    let rolled_back = published.phantoms().len();
    report(&format!(
        "{} messages, {late} of them committed after a higher id, by up to {furthest} ids, \
         {rolled_back} rolled back",
        published.count()
    ));
    assert!(
        late * 10 > published.count(),
        "almost all committed in order"
    );
    assert!(furthest > PUBLISHERS as i64);
    assert!(rolled_back > 0);
}

const GROUPS: [(&str, Ordering, OnFailure); 3] = [
    ("unordered", Ordering::Unordered, OnFailure::Park),
    ("parking", Ordering::PerKey, OnFailure::Park),
    ("blocking", Ordering::PerKey, OnFailure::Block),
];

async fn groups_lose_nothing() {
    let stage = Stage::new(CompletionMode::OffsetWatermark).await;
    let ledger = Arc::new(Ledger::default());
    let done = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for (group, ordering, on_failure) in GROUPS {
        stage.subscribe(group, options(ordering, on_failure)).await;
    }
    for process in 0..2 {
        let backend = stage.process(8).await;
        for (number, (group, ..)) in GROUPS.iter().enumerate() {
            let member = stage.join(&backend, group).await;
            let mut worker = Worker::new(member, &ledger, 10 * process + number as u64);
            worker.failing = 5;
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
    let publishing = stage.process(PUBLISHERS + 1).await;
    let published = Arc::new(Published::default());
    publishers()
        .run(&publishing, &stage.topic.name, &ledger, &published, None)
        .await;
    must_be_out_of_order(&published);
    let expected = published.count();
    let drained = async {
        ledger.until_settled(GROUPS.len() * expected).await;
    };
    if tokio::time::timeout(Duration::from_secs(120), drained)
        .await
        .is_err()
    {
        for (group, ..) in GROUPS {
            let seen = ledger.fates(group).into_keys().collect();
            let lost = lost(&published, &seen);
            report(&format!("{group}: {} lost: {lost:?}", lost.len()));
        }
        panic!("messages were lost");
    }
    done.store(true, Relaxed);
    while let Some(end) = workers.join_next().await {
        end.expect("no worker panics");
    }
    let phantoms = published.phantoms();
    for (group, ..) in GROUPS {
        let fates = ledger.fates(group);
        let seen: BTreeSet<MessageId> = fates.keys().copied().collect();
        assert_eq!(lost(&published, &seen), [], "{group} lost messages");
        let unexpected: Vec<_> = seen.intersection(&phantoms).collect();
        assert!(unexpected.is_empty(), "{group} got {unexpected:?}");
        let not_once: Vec<_> = fates
            .iter()
            .filter(|(_, fate)| fate.settlements != 1)
            .collect();
        assert!(
            not_once.is_empty(),
            "{group}: not settled once {not_once:?}"
        );
        let failures: u32 = fates.values().map(|fate| fate.failures).sum();
        report(&format!(
            "{group}: {} settled once, {failures} failures",
            fates.len()
        ));
    }
    assert_eq!(stage.pending().await, 0);
    // One round to see that all is decided, one for a tick that came late.
    for _ in 0..3 {
        stage.backend.maintain().await.expect("maintains");
    }
    let watermark = stage
        .backend
        .watermark(&stage.topic.name)
        .await
        .expect("reads");
    let highest = published.messages().into_keys().next_back().expect("some");
    assert!(watermark.id >= highest, "{watermark:?} of {highest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_commits_are_neither_lost_nor_settled_twice() {
    tokio::time::timeout(HANG, groups_lose_nothing())
        .await
        .expect("it does not hang");
}

/// The test of the test: the same history hurts a reader that takes ids for an order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_commits_are_lost_by_a_reader_of_ids_above_the_last() {
    let stage = Stage::new(CompletionMode::OffsetWatermark).await;
    stage
        .subscribe("group", options(Ordering::Unordered, OnFailure::Park))
        .await;
    let done = Arc::new(AtomicBool::new(false));
    let mut reader = IdAboveLast::new(stage.connect().await, stage.topic.id);
    let until = done.clone();
    let reading = tokio::spawn(async move {
        while !until.load(Relaxed) {
            reader.turn().await;
        }
        while reader.turn().await > 0 {}
        reader
    });
    let publishing = stage.process(PUBLISHERS + 1).await;
    let ledger = Arc::new(Ledger::default());
    let published = Arc::new(Published::default());
    publishers()
        .run(&publishing, &stage.topic.name, &ledger, &published, None)
        .await;
    done.store(true, Relaxed);
    let reader = reading.await.expect("the reader ends");
    must_be_out_of_order(&published);
    let lost = lost(&published, reader.seen());
    report(&format!("{} of {} lost", lost.len(), published.count()));
    assert!(!lost.is_empty(), "this history proves nothing");
}
