//! F1: workers that are killed and started again at random lose nothing, and at most what they had in
//! hand is delivered again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{Backend, CompletionMode, NewMessage, OnFailure, Ordering};
use fanout_postgres::PostgresBackend;
use fanout_tests::size::full;
use tokio::sync::RwLock;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Chance, Ledger, Stage, Worker, options, report};

const GROUPS: [(&str, Ordering, OnFailure); 3] = [
    ("unordered", Ordering::Unordered, OnFailure::Park),
    ("parking", Ordering::PerKey, OnFailure::Park),
    ("blocking", Ordering::PerKey, OnFailure::Block),
];
const WORKERS_OF_EACH: usize = 3;
const HANG: Duration = Duration::from_secs(1200);

/// A worker that runs, and can be killed anywhere.
struct Running {
    group: &'static str,
    task: JoinHandle<()>,
    in_hand: Arc<AtomicUsize>,
}

struct Scene {
    stage: Stage,
    process: PostgresBackend,
    ledger: Arc<Ledger>,
    /// Held by workers while they have something in hand, so that leases end only of those who were
    /// killed.
    busy: Arc<RwLock<()>>,
    started: u64,
}

impl Scene {
    async fn start(&mut self, group: &'static str) -> Running {
        self.started += 1;
        let member = self.stage.join(&self.process, group).await;
        let mut worker = Worker::new(member, &self.ledger, self.started);
        worker.batch = 10;
        let (in_hand, busy) = (worker.in_hand.clone(), self.busy.clone());
        let task = tokio::spawn(async move {
            loop {
                let guard = busy.read().await;
                let got = worker.turn().await;
                drop(guard);
                if got == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        Running {
            group,
            task,
            in_hand,
        }
    }
}

/// Ends a worker wherever it is; tells how many messages it had in hand.
async fn kill(worker: Running) -> usize {
    worker.task.abort();
    let end = worker.task.await.expect_err("it runs until it is killed");
    assert!(end.is_cancelled(), "a worker failed: {end}");
    worker.in_hand.load(Relaxed)
}

async fn at_least_once(mode: CompletionMode) {
    let (messages, kills) = if full() { (100_000, 120) } else { (3_000, 25) };
    let stage = Stage::new(mode).await;
    for (group, ordering, on_failure) in GROUPS {
        stage.subscribe(group, options(ordering, on_failure)).await;
    }
    let process = stage.process(24).await;
    let mut scene = Scene {
        stage,
        process,
        ledger: Arc::default(),
        busy: Arc::default(),
        started: 0,
    };
    let mut workers = Vec::new();
    for _ in 0..WORKERS_OF_EACH {
        for (group, ..) in GROUPS {
            workers.push(scene.start(group).await);
        }
    }
    let mut publishing = JoinSet::new();
    for publisher in 0..2 {
        let (backend, topic) = (scene.process.clone(), scene.stage.topic.name.clone());
        let mut chance = Chance::new(publisher);
        publishing.spawn(async move {
            for _ in 0..messages / 2 / 20 {
                let mut message = || NewMessage::new("m").key(format!("{}", chance.below(100)));
                let batch = (0..20).map(|_| message()).collect();
                backend.publish(&topic, batch).await.expect("publishes");
            }
        });
    }

    let mut chance = Chance::new(1);
    let total = GROUPS.len() * messages;
    let (mut killed, mut in_hand_at_kills) = (0, 0);
    while killed < kills {
        // Spread over the run.
        let progress = total * killed / kills + chance.below(total / kills);
        scene.ledger.until_delivered(progress).await;
        for _ in 0..=chance.below(3) {
            // Not always at the same step of a turn.
            for _ in 0..chance.below(50) {
                tokio::task::yield_now().await;
            }
            let victim = workers.swap_remove(chance.below(workers.len()));
            let group = victim.group;
            in_hand_at_kills += kill(victim).await;
            killed += 1;
            workers.push(scene.start(group).await);
        }
        let _quiet = scene.busy.write().await;
        scene.stage.end_leases();
    }
    while let Some(end) = publishing.join_next().await {
        end.expect("no publisher panics");
    }
    scene.ledger.until_delivered(total).await;
    while scene.stage.pending().await > 0 {
        tokio::task::yield_now().await;
    }
    for worker in workers {
        kill(worker).await;
    }

    let mut redelivered = 0;
    for (group, ..) in GROUPS {
        let fates = scene.ledger.fates(group);
        assert_eq!(fates.len(), messages, "{group} misses messages");
        assert!(fates.values().all(|fate| fate.settlements <= 1));
        let again = fates.values().map(|fate| fate.deliveries as usize - 1);
        redelivered += again.sum::<usize>();
    }
    report(&format!(
        "{mode}: {total} delivered, {killed} workers killed with {in_hand_at_kills} messages in hand, \
         {redelivered} delivered again"
    ));
    assert!(
        in_hand_at_kills > 0,
        "nobody was killed with something in hand"
    );
    assert!(redelivered <= in_hand_at_kills);
    if full() {
        assert!(redelivered * 200 < total, "half a percent or more");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_killed_workers_lose_nothing_in_reference_counting() {
    let run = at_least_once(CompletionMode::ReferenceCounting);
    tokio::time::timeout(HANG, run).await.expect("no hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_killed_workers_lose_nothing_in_offset_watermark() {
    let run = at_least_once(CompletionMode::OffsetWatermark);
    tokio::time::timeout(HANG, run).await.expect("no hang");
}
