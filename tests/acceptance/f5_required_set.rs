//! F5: who must settle a message is fixed when it is published, whatever happens to groups and modes
//! afterwards; and a subscription that meets publishers is owed what commits after it, whatever their
//! isolation level.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{
    Backend, CompletionMode, ErrorKind, GroupName, MemberExt, MessageId, NewMessage, OnFailure,
    Ordering, Transactional,
};
use fanout_postgres::PostgresBackend;
use fanout_postgres::diesel_async::SimpleAsyncConnection;
use fanout_tests::size::full;
use tokio::task::JoinSet;

use crate::support::{Chance, Ledger, Stage, group_name, options, report};

const HANG: Duration = Duration::from_secs(900);
const LEVELS: [&str; 3] = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];
const MODES: [CompletionMode; 2] = [
    CompletionMode::ReferenceCounting,
    CompletionMode::OffsetWatermark,
];

/// What the accounting should say of a tracked message.
#[derive(Debug, Default, PartialEq, Eq)]
struct Record {
    required: BTreeSet<GroupName>,
    completed: BTreeSet<GroupName>,
}

async fn settle_some(stage: &Stage, group: &GroupName, limit: usize) -> Vec<MessageId> {
    let member = stage.join(&stage.backend, group.as_str()).await;
    let deliveries = member.fetch(limit).await.expect("fetches").deliveries;
    let settled = member.done_all(&deliveries).await.expect("settles");
    assert_eq!(settled, deliveries.len());
    member.leave().await.expect("leaves");
    deliveries.iter().map(|d| d.message.id).collect()
}

async fn check(stage: &Stage, expected: &BTreeMap<MessageId, Record>, step: usize, seed: u64) {
    let found: BTreeMap<_, _> = stage
        .backend
        .accounting(&stage.topic.name, MessageId(0), 100_000)
        .await
        .expect("reads")
        .into_iter()
        .map(|of| {
            let (required, completed) = (of.required, of.completed);
            (
                of.id,
                Record {
                    required,
                    completed,
                },
            )
        })
        .collect();
    assert_eq!(&found, expected, "at step {step} of seed {seed}");
}

/// Any sequence of subscribing, cancelling, publishing, settling and changing the mode.
async fn follows_the_publish(seed: u64, steps: usize) {
    let stage = Stage::new(MODES[seed as usize % 2]).await;
    let mut mode = stage.topic.config.completion_mode;
    let mut chance = Chance::new(seed);
    let mut live: BTreeMap<GroupName, Ordering> = BTreeMap::new();
    let mut expected: BTreeMap<MessageId, Record> = BTreeMap::new();
    let mut next = 0;
    let topic = stage.topic.name.clone();
    for step in 0..steps {
        let of = (!live.is_empty()).then(|| {
            let place = chance.below(live.len());
            live.keys().nth(place).expect("one of them").clone()
        });
        match (chance.below(10), of) {
            (0 | 1, _) => {
                let ordering = if chance.percent(30) {
                    Ordering::PerKey
                } else {
                    Ordering::Unordered
                };
                let group = format!("group {next}");
                next += 1;
                stage
                    .subscribe(&group, options(ordering, OnFailure::Park))
                    .await;
                live.insert(group_name(&group), ordering);
            }
            (2, Some(group)) => {
                stage.backend.cancel(&topic, &group).await.expect("cancels");
                stage.backend.maintain().await.expect("maintains");
                live.remove(&group);
                for record in expected.values_mut() {
                    if !record.completed.contains(&group) {
                        record.required.remove(&group);
                    }
                }
            }
            (3 | 4, _) => {
                mode = mode.other();
                let changed = stage.backend.migrate_topic(&topic, mode).await;
                assert_eq!(changed.expect("changes").config.completion_mode, mode);
            }
            (5 | 6, Some(group)) => {
                let settled = settle_some(&stage, &group, 3).await;
                for id in settled {
                    if live[&group] == Ordering::Unordered
                        && let Some(record) = expected.get_mut(&id)
                    {
                        record.completed.insert(group.clone());
                    }
                }
            }
            _ => {
                let batch = vec![NewMessage::new("m").key("k"); 1 + chance.below(3)];
                let ids = stage
                    .backend
                    .publish(&topic, batch)
                    .await
                    .expect("publishes");
                if mode == CompletionMode::ReferenceCounting {
                    let unordered = live.iter().filter(|(_, o)| **o == Ordering::Unordered);
                    let required: BTreeSet<_> = unordered.map(|(group, _)| group.clone()).collect();
                    for id in ids {
                        let record = Record {
                            required: required.clone(),
                            completed: BTreeSet::new(),
                        };
                        expected.insert(id, record);
                    }
                }
            }
        }
        check(&stage, &expected, step, seed).await;
    }
    assert!(expected.len() > steps / 10, "few messages are tracked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_the_required_set_is_that_of_the_publish_whatever_follows() {
    let (seeds, steps) = if full() { (20, 300) } else { (3, 80) };
    let run = async {
        for seed in 0..seeds {
            follows_the_publish(seed, steps).await;
        }
    };
    tokio::time::timeout(HANG, run).await.expect("no hang");
}

/// The steps of a publisher are 0: begin and look, 1: publish, 2: commit. Before one of them, or after
/// all, a group subscribes, and before one of them, or after all, the mode changes.
async fn interleave(
    stage: &Stage,
    level: &str,
    mode: CompletionMode,
    subscribe_at: usize,
    change_at: usize,
    group: &str,
    ordering: Ordering,
) {
    let topic = &stage.topic.name;
    let case = format!("{level}, {mode}, subscribe {subscribe_at}, change {change_at}, {ordering}");
    let back = stage.backend.migrate_topic(topic, mode).await;
    back.expect("changes");
    let mut open = None;
    let mut id = MessageId(0);
    for step in 0..=3 {
        if subscribe_at == step {
            stage
                .subscribe(group, options(ordering, OnFailure::Park))
                .await;
        }
        if change_at == step {
            let changed = stage.backend.migrate_topic(topic, mode.other()).await;
            changed.expect("it waits for nobody");
        }
        match step {
            0 => {
                let mut tx = stage.backend.begin().await.expect("begins");
                let begin = format!(
                    "SET TRANSACTION ISOLATION LEVEL {level}; SELECT count(*) FROM fanout.outbox"
                );
                tx.tx().batch_execute(&begin).await.expect("looks");
                open = Some(tx);
            }
            1 => {
                let tx = open.as_mut().expect("it is open").tx();
                let message = vec![NewMessage::new("m").key("k")];
                let ids = stage.backend.publish_in(tx, topic, message).await;
                id = ids.expect("it is published under any snapshot")[0];
            }
            2 => {
                let tx = open.take().expect("it is open");
                tx.commit().await.expect("commits");
            }
            _ => {}
        }
    }
    // What it may have missed of the publisher.
    stage.backend.maintain().await.expect("maintains");
    let name = group_name(group);
    let owed = stage.backend.pending(topic, &name, MessageId(0), 10).await;
    let expected: Vec<_> = (subscribe_at < 3).then_some(id).into_iter().collect();
    assert_eq!(owed.expect("reads"), expected, "owed: {case}");
    let changed_before = change_at <= 1;
    let found = if changed_before { mode.other() } else { mode };
    let tracked = level == LEVELS[0] && found == CompletionMode::ReferenceCounting;
    let record = stage
        .backend
        .accounting(topic, MessageId(id.0 - 1), 1)
        .await
        .expect("reads")
        .into_iter()
        .find(|record| record.id == id);
    assert_eq!(record.is_some(), tracked, "tracked: {case}");
    if let Some(record) = record {
        let required = subscribe_at < 3 && ordering == Ordering::Unordered;
        assert_eq!(
            record.required.contains(&name),
            required,
            "required: {case}"
        );
    }
    let member = stage.join(&stage.backend, group).await;
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let deliveries = member.fetch(10).await.expect("fetches").deliveries;
        member.done_all(&deliveries).await.expect("settles");
        got.extend(deliveries.iter().map(|d| d.message.id));
    }
    assert_eq!(got, expected, "delivered: {case}");
    member.leave().await.expect("leaves");
    let cancelled = stage.backend.cancel(topic, &name).await;
    cancelled.expect("cancels");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_a_subscription_meets_a_publisher_and_a_mode_change_at_every_step() {
    let run = async {
        let stage = Stage::new(CompletionMode::default()).await;
        let mut count = 0;
        for ordering in [Ordering::Unordered, Ordering::PerKey] {
            for level in LEVELS {
                for mode in MODES {
                    for subscribe_at in 0..=3 {
                        for change_at in 0..=3 {
                            let group = format!("group {count}");
                            count += 1;
                            interleave(
                                &stage,
                                level,
                                mode,
                                subscribe_at,
                                change_at,
                                &group,
                                ordering,
                            )
                            .await;
                        }
                    }
                }
            }
        }
        report(&format!("{count} interleavings"));
    };
    tokio::time::timeout(HANG, run).await.expect("no hang");
}

/// Of serializable transactions that meet, the server refuses one; no others.
fn gives_way(level: &str, error: &fanout_core::Error) {
    assert_eq!(
        (level, error.kind()),
        ("SERIALIZABLE", ErrorKind::Conflict),
        "it is published under any snapshot: {error}"
    );
}

/// Publishes in transactions of any isolation level, so many and until all groups are subscribed, and then once
/// more; what committed, with when its publish began and when
/// the commit had been answered.
async fn publish(
    backend: PostgresBackend,
    topic: fanout_core::TopicName,
    ledger: Arc<Ledger>,
    mut chance: Chance,
    transactions: usize,
    all_subscribed: Arc<AtomicBool>,
) -> Vec<(MessageId, u64, u64)> {
    let mut committed = Vec::new();
    for number in 1.. {
        let is_last = number >= transactions && all_subscribed.load(Relaxed);
        let level = LEVELS[chance.below(3)];
        let mut open = backend.begin().await.expect("begins");
        let begin =
            format!("SET TRANSACTION ISOLATION LEVEL {level}; SELECT count(*) FROM fanout.outbox");
        open.tx().batch_execute(&begin).await.expect("looks");
        let began = ledger.stamp();
        let batch = vec![NewMessage::new("m").key("k"); 1 + chance.below(3)];
        let ids = match backend.publish_in(open.tx(), &topic, batch).await {
            Ok(ids) => ids,
            Err(error) => {
                gives_way(level, &error);
                open.rollback().await.expect("rolls back");
                continue;
            }
        };
        for _ in 0..chance.below(20) {
            tokio::task::yield_now().await;
        }
        match open.commit().await {
            Ok(()) => {
                let ended = ledger.stamp();
                committed.extend(ids.into_iter().map(|id| (id, began, ended)));
            }
            Err(error) => gives_way(level, &error),
        }
        if is_last {
            break;
        }
    }
    committed
}

async fn races(seed: u64) {
    let (publishers, transactions, groups) = if full() { (6, 150, 40) } else { (4, 40, 12) };
    let stage = Arc::new(Stage::new(MODES[seed as usize % 2]).await);
    let ledger = Arc::new(Ledger::default());
    let topic = stage.topic.name.clone();
    let publishing = stage.process(publishers + 1).await;
    let all_subscribed = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for number in 0..publishers as u64 {
        tasks.spawn(publish(
            publishing.clone(),
            topic.clone(),
            ledger.clone(),
            Chance::new(seed ^ ((number + 1) << 32)),
            transactions,
            all_subscribed.clone(),
        ));
    }
    let mut chance = Chance::new(seed);
    let mut mode = stage.topic.config.completion_mode;
    let mut subscribed = Vec::new();
    for number in 0..groups {
        let ordering = [Ordering::Unordered, Ordering::PerKey][number % 2];
        let group = format!("group {number}");
        let began = ledger.stamp();
        stage
            .subscribe(&group, options(ordering, OnFailure::Park))
            .await;
        subscribed.push((group, began, ledger.stamp()));
        if chance.percent(60) {
            mode = mode.other();
            let changed = stage.backend.migrate_topic(&topic, mode).await;
            changed.expect("changes");
        }
    }
    all_subscribed.store(true, Relaxed);
    let mut committed = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        committed.extend(ended.expect("no publisher panics"));
    }
    stage.backend.maintain().await.expect("maintains");
    let (mut must, mut may) = (0, 0);
    for (group, began, ended) in &subscribed {
        let owed: BTreeSet<_> = stage
            .backend
            .pending(&topic, &group_name(group), MessageId(0), 100_000)
            .await
            .expect("reads")
            .into_iter()
            .collect();
        for (id, published, answered) in &committed {
            if published > ended {
                must += 1;
                assert!(owed.contains(id), "{group} lacks {id}, seed {seed}");
            } else if answered < began {
                assert!(
                    !owed.contains(id),
                    "{group} got {id} of before, seed {seed}"
                );
            } else {
                may += 1;
            }
        }
        let all: BTreeSet<_> = committed.iter().map(|(id, ..)| *id).collect();
        assert!(owed.is_subset(&all), "{group} owes what never committed");
    }
    let records = stage
        .backend
        .accounting(&topic, MessageId(0), 100_000)
        .await
        .expect("reads");
    for (number, (group, ..)) in subscribed.iter().enumerate() {
        let name = group_name(group);
        let owed = stage.backend.pending(&topic, &name, MessageId(0), 100_000);
        let owed: BTreeSet<_> = owed.await.expect("reads").into_iter().collect();
        for record in &records {
            let required = number % 2 == 0 && owed.contains(&record.id);
            assert_eq!(
                record.required.contains(&name),
                required,
                "{group}, {record:?}, seed {seed}"
            );
        }
    }
    report(&format!(
        "seed {seed}: {} messages, {must} owed for sure, {may} met a subscription",
        committed.len()
    ));
    assert!(must > 0, "all subscriptions came too late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_subscriptions_race_publishers_of_every_isolation_level_across_mode_changes() {
    let run = async {
        for seed in 0..4 {
            races(seed).await;
        }
    };
    tokio::time::timeout(HANG, run).await.expect("no hang");
}
