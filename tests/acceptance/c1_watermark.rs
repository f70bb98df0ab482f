//! C1: the watermark is true at all times, and only rises, while publishers commit late and groups
//! settle in any order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{Backend, CompletionMode, MessageId, OnFailure, Ordering};
use fanout_tests::size::full;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::support::{BeforeEnd, Ledger, Published, Publishers, Stage, Worker, options, report};

const GROUPS: [(&str, Ordering, OnFailure); 3] = [
    ("unordered", Ordering::Unordered, OnFailure::Park),
    ("parking", Ordering::PerKey, OnFailure::Park),
    ("blocking", Ordering::PerKey, OnFailure::Block),
];
const HANG: Duration = Duration::from_secs(900);

/// The watermark, and how many (message, group) at or below it are not settled: written without the
/// functions that the engine has for this, and at one moment.
const UNSETTLED: &str = "
    SELECT w.watermark_id, w.decided_id, (
        SELECT count(*)
        FROM fanout.outbox m
        CROSS JOIN fanout.outbox_topic_subscriptions s
        JOIN fanout.outbox_subscription_offsets o
            ON o.topic_id = s.topic_id AND o.group_index = s.group_index AND o.lane = m.lane
        JOIN fanout.outbox_ticks a ON a.topic_id = o.topic_id AND a.tick = o.tick
        JOIN fanout.outbox_ticks b ON b.topic_id = o.topic_id AND b.tick = o.through_tick
        WHERE m.topic_id = w.topic_id AND s.topic_id = w.topic_id AND m.id <= w.watermark_id
            AND (EXISTS (
                    SELECT FROM fanout.outbox_consumer_groups t
                    WHERE t.topic_id = m.topic_id AND t.group_index = s.group_index AND t.id = m.id)
                OR (s.ordering = 'per-key' OR NOT m.tracked)
                    AND NOT pg_visible_in_snapshot(m.tx, a.snapshot)
                    AND NOT (o.through_tick > o.tick AND pg_visible_in_snapshot(m.tx, b.snapshot)
                        AND (m.id <= o.last_id OR o.settled_ahead @> m.id))))
    FROM fanout.outbox_topic_watermarks w WHERE w.topic_id = $1";

/// What one look at the watermark showed.
struct Sample {
    watermark: i64,
    decided: i64,
    unsettled: i64,
}

async fn sample(client: &Client, topic: i32) -> Sample {
    let row = client.query_one(UNSETTLED, &[&topic]).await.expect("reads");
    Sample {
        watermark: row.get(0),
        decided: row.get(1),
        unsettled: row.get(2),
    }
}

/// What all looks showed so far.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    looks: usize,
    decided: i64,
}

/// What publishers do before their transactions end: nothing of those may have been decided. Every tenth
/// waits until groups have settled what there was, and the watermark was looked at a few times more: then
/// it is this transaction that keeps it.
fn checks(
    ledger: &Arc<Ledger>,
    published: &Arc<Published>,
    seen: &watch::Sender<Seen>,
) -> BeforeEnd {
    let (ledger, published, seen) = (ledger.clone(), published.clone(), seen.clone());
    let ends = Arc::new(AtomicUsize::new(0));
    Arc::new(move |lowest| {
        let (ledger, published) = (ledger.clone(), published.clone());
        let mut seen = seen.subscribe();
        let waits = ends.fetch_add(1, Relaxed) % 10 == 9;
        Box::pin(async move {
            if waits {
                let owed = GROUPS.len() * published.count();
                ledger.until_settled(owed).await;
                let until = seen.borrow().looks + 4;
                let _ = seen.wait_for(|seen| seen.looks >= until).await;
            }
            let decided = seen.borrow().decided;
            assert!(
                lowest.0 > decided,
                "{lowest} is open, and all up to {decided} is decided"
            );
        })
    })
}

/// Maintains and looks until all is done; returns how often it looked and how many heights it saw.
async fn look_on(
    stage: Arc<Stage>,
    seen: watch::Sender<Seen>,
    done: Arc<AtomicBool>,
) -> (usize, usize) {
    let client = stage.connect().await;
    let (mut looks, mut heights, mut last) = (0, 0, 0);
    while !done.load(Relaxed) {
        stage.backend.maintain().await.expect("maintains");
        let sample = sample(&client, stage.topic.id.0).await;
        assert_eq!(
            sample.unsettled, 0,
            "unsettled at or below {}",
            sample.watermark
        );
        assert!(
            sample.watermark >= last,
            "{} after {last}",
            sample.watermark
        );
        assert!(sample.watermark <= sample.decided);
        // Publishers check it against what they have open.
        seen.send_modify(|seen| {
            seen.looks += 1;
            seen.decided = seen.decided.max(sample.decided);
        });
        looks += 1;
        heights += usize::from(sample.watermark > last);
        last = sample.watermark;
        let told = stage.backend.watermark(&stage.topic.name).await;
        assert!(told.expect("reads").id.0 >= last);
    }
    (looks, heights)
}

async fn watermark_is_true(mode: CompletionMode) {
    let stage = Arc::new(Stage::new(mode).await);
    let ledger = Arc::new(Ledger::default());
    let done = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    let process = stage.process(12).await;
    for (number, (group, ordering, on_failure)) in GROUPS.into_iter().enumerate() {
        stage.subscribe(group, options(ordering, on_failure)).await;
        for second in 0..2 {
            let member = stage.join(&process, group).await;
            let mut worker = Worker::new(member, &ledger, 10 * number as u64 + second);
            worker.failing = 10;
            let done = done.clone();
            workers.spawn(async move {
                while !done.load(Relaxed) {
                    if worker.turn().await == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                worker.member.leave().await.expect("leaves");
            });
        }
    }
    let seen = watch::Sender::new(Seen::default());
    // Two of them, as several processes maintain.
    let mut watchers = JoinSet::new();
    for _ in 0..2 {
        watchers.spawn(look_on(stage.clone(), seen.clone(), done.clone()));
    }
    let plan = Publishers {
        count: 12,
        transactions: if full() { 1_000 } else { 50 },
        batch: 4,
        keys: 100,
        held: 20,
        sleeping: 20,
        rolled_back: 20,
        savepoints: 20,
        repeatable: 0,
        seed: 3,
    };
    let publishing = stage.process(plan.count + 1).await;
    let published = Arc::new(Published::default());
    let check = checks(&ledger, &published, &seen);
    let topic = &stage.topic.name;
    tokio::select! {
        () = plan.run(&publishing, topic, &ledger, &published, Some(check)) => {}
        Some(end) = watchers.join_next() => {
            end.expect("the watermark is true");
        }
    }
    ledger.until_settled(GROUPS.len() * published.count()).await;
    done.store(true, Relaxed);
    while let Some(end) = workers.join_next().await {
        end.expect("no worker panics");
    }
    let (mut looks, mut heights) = (0, 0);
    while let Some(end) = watchers.join_next().await {
        let (more, higher) = end.expect("the watermark is true");
        (looks, heights) = (looks + more, heights + higher);
    }
    let client = stage.connect().await;
    let drawn: i64 = client
        .query_one("SELECT fanout.drawn_id($1)", &[&stage.topic.id.0])
        .await
        .expect("reads")
        .get(0);
    for _ in 0..20 {
        stage.backend.maintain().await.expect("maintains");
    }
    let last = stage
        .backend
        .watermark(&stage.topic.name)
        .await
        .expect("reads");
    report(&format!(
        "{mode}: {} messages, {looks} looks at {heights} heights, ends at {} of {drawn}",
        published.count(),
        last.id
    ));
    assert_eq!(
        (last.id, last.decided),
        (MessageId(drawn), MessageId(drawn))
    );
    assert!(looks > 20 && heights > 10, "it was hardly looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_the_watermark_is_true_and_rises_in_reference_counting() {
    let run = watermark_is_true(CompletionMode::ReferenceCounting);
    tokio::time::timeout(HANG, run).await.expect("no hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_the_watermark_is_true_and_rises_in_offset_watermark() {
    let run = watermark_is_true(CompletionMode::OffsetWatermark);
    tokio::time::timeout(HANG, run).await.expect("no hang");
}
