//! Groups of one process share one read of the log; processes share one group.

use std::collections::BTreeSet;
use std::sync::Arc;

use fanout_core::{
    Backend, CompletionMode, Member, MemberExt, MessageId, NewMessage, OnFailure, Ordering,
};
use fanout_postgres::PostgresBackend;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::readers::{HANG, drain, full, join, publish_bulk, subscribe, topic_in};
use crate::support::{connect, migrated, open, topic, value};

const MODE: CompletionMode = CompletionMode::OffsetWatermark;

fn payloads(count: usize, bytes: usize) -> Vec<NewMessage> {
    (0..count)
        .map(|n| NewMessage::new(vec![b'x'; bytes]).key(format!("{}", n % 50)))
        .collect()
}

/// Groups that consume side by side, round by round: one that falls far behind the others reads for itself.
async fn groups(
    backend: &PostgresBackend,
    names: &[String],
    ordering: impl Fn(usize) -> Ordering,
    rounds: usize,
    each: usize,
) {
    let mut members = Vec::new();
    for (number, name) in names.iter().enumerate() {
        subscribe(backend, "t", name, ordering(number), OnFailure::Park).await;
        members.push(join(backend, "t", name).await);
    }
    for _ in 0..rounds {
        let published = backend
            .publish(&topic("t"), payloads(each, 100))
            .await
            .expect("publishes");
        let published: BTreeSet<MessageId> = published.into_iter().collect();
        let mut draining = JoinSet::new();
        for member in members.clone() {
            draining.spawn(async move { drain(&member, 20, each).await });
        }
        while let Some(seen) = draining.join_next().await {
            assert_eq!(seen.expect("drains"), published);
        }
    }
}

#[tokio::test]
async fn groups_of_one_process_share_one_read_of_the_log() {
    let count = if full() { 64 } else { 16 };
    let (rounds, each) = if full() { (200, 100) } else { (30, 50) };
    let messages = (rounds * each) as u64;
    let names: Vec<String> = (0..count).map(|n| format!("group {n}")).collect();
    let one: fn(usize) -> Ordering = |_| Ordering::Unordered;
    let other: fn(usize) -> Ordering = |_| Ordering::PerKey;
    let both: fn(usize) -> Ordering = |n| {
        if n % 2 == 0 {
            Ordering::Unordered
        } else {
            Ordering::PerKey
        }
    };
    // Groups with order and without read apart, since the latter skip what is tracked.
    for (ordering, reads) in [(one, 1), (other, 1), (both, 2)] {
        let database = migrated().await;
        let backend = PostgresBackend::builder(database.url())
            .pool_size(8)
            .connect()
            .await
            .unwrap();
        let of = topic_in(&backend, "t", MODE).await.id;
        // The figures are those of the members that are there.
        subscribe(&backend, "t", "witness", ordering(0), OnFailure::Park).await;
        let witness = join(&backend, "t", "witness").await;
        groups(&backend, &names, ordering, rounds, each).await;
        let cache = backend.span_cache(of);
        println!(
            "{count} groups, {messages} messages delivered to each: {} rows read by {} statements, {} served",
            cache.rows_read, cache.reads, cache.rows_served
        );
        assert!(
            cache.rows_read * 10 <= reads * messages * 12,
            "{} rows read for {messages} messages",
            cache.rows_read
        );
        assert!(cache.rows_served >= messages * count as u64);
        drop(witness);
    }
}

/// Groups share what they both need: one that keeps up does not read what another has behind it.
#[tokio::test]
async fn a_group_far_behind_costs_the_others_nothing() {
    let backlog = if full() { 50_000 } else { 5_000 };
    let database = migrated().await;
    // So that what the other has read is forgotten when the one behind comes to it.
    let backend = PostgresBackend::builder(database.url())
        .span_cache_bytes(100 << 10)
        .connect()
        .await
        .unwrap();
    let client = connect(database.url()).await;
    let of = topic_in(&backend, "t", MODE).await.id;
    let mut members = Vec::new();
    for name in ["fast", "slow"] {
        subscribe(&backend, "t", name, Ordering::PerKey, OnFailure::Park).await;
        members.push(join(&backend, "t", name).await);
    }
    let (fast, slow) = (&members[0], &members[1]);
    // Both stand at a tick, and then only one goes on.
    publish_bulk(&client, "t", 100, 100).await;
    drain(fast, 100, 100).await;
    drain(slow, 100, 100).await;
    for _ in 0..10 {
        publish_bulk(&client, "t", backlog / 10, 1000).await;
        drain(fast, 500, backlog / 10).await;
    }
    publish_bulk(&client, "t", 50, 50).await;
    backend.maintain().await.unwrap();
    // Its span goes from where it stands up to the newest tick, which has what both need.
    let mut behind = Vec::new();
    while behind.is_empty() {
        behind = slow.fetch(10).await.unwrap().deliveries;
    }
    let before = backend.span_cache(of);
    drain(fast, 50, 50).await;
    let after = backend.span_cache(of);
    let served = after.rows_served - before.rows_served;
    assert!(served <= 500, "{served} rows for 50 messages");
}

#[tokio::test]
async fn a_small_cache_costs_reads_and_nothing_else() {
    const LIMIT: usize = 64 << 10;
    let database = migrated().await;
    let backend = PostgresBackend::builder(database.url())
        .span_cache_bytes(LIMIT)
        .connect()
        .await
        .unwrap();
    let of = topic_in(&backend, "t", MODE).await.id;
    let mut members = Vec::new();
    for n in 0..4 {
        let name = format!("group {n}");
        subscribe(&backend, "t", &name, Ordering::PerKey, OnFailure::Block).await;
        members.push(join(&backend, "t", &name).await);
    }
    let mut published = BTreeSet::new();
    for _ in 0..10 {
        published.extend(
            backend
                .publish(&topic("t"), payloads(100, 1024))
                .await
                .unwrap(),
        );
    }
    // One far behind another, and two that go side by side in steps of different sizes.
    assert_eq!(drain(&members[0], 100, 1000).await, published);
    assert_eq!(drain(&members[1], 30, 1000).await, published);
    let (a, b) = tokio::join!(drain(&members[2], 7, 1000), drain(&members[3], 90, 1000));
    assert_eq!((&a, &b), (&published, &published));
    let cache = backend.span_cache(of);
    println!("{cache:?}");
    assert!(cache.bytes <= LIMIT as u64, "{} bytes", cache.bytes);
}

/// Consumes until all is settled; notes who got what.
async fn work(member: Arc<dyn Member>, settled: Arc<Mutex<Vec<MessageId>>>, total: usize) -> usize {
    let mut mine = 0;
    while settled.lock().len() < total {
        let deliveries = member.fetch(20).await.expect("fetches").deliveries;
        assert_eq!(
            member.done_all(&deliveries).await.expect("settles"),
            deliveries.len()
        );
        mine += deliveries.len();
        settled
            .lock()
            .extend(deliveries.iter().map(|d| d.message.id));
        tokio::task::yield_now().await;
    }
    mine
}

#[tokio::test]
async fn eight_processes_share_one_group() {
    let (rounds, each) = if full() { (500, 100) } else { (60, 50) };
    for ordering in [Ordering::Unordered, Ordering::PerKey] {
        let database = migrated().await;
        let backend = open(&database).await;
        topic_in(&backend, "t", MODE).await;
        subscribe(&backend, "t", "g", ordering, OnFailure::Park).await;
        let mut members = Vec::new();
        for _ in 0..8 {
            let process = PostgresBackend::builder(database.url())
                .pool_size(2)
                .connect()
                .await
                .unwrap();
            members.push(join(&process, "t", "g").await);
        }
        // Until each has found out that the others are there.
        let client = connect(database.url()).await;
        let owners = "SELECT count(DISTINCT owner) FROM fanout.outbox_lane_leases";
        let sharing = async {
            while value::<i64>(&client, owners).await < 8 {
                for member in &members {
                    assert_eq!(member.fetch(1).await.unwrap().deliveries, []);
                }
            }
        };
        let shared = tokio::time::timeout(HANG, sharing).await;
        shared.expect("each of 8 members gets one of 8 lanes");

        let settled = Arc::new(Mutex::new(Vec::new()));
        let mut working = JoinSet::new();
        for member in members {
            working.spawn(work(member, settled.clone(), rounds * each));
        }
        let mut published = BTreeSet::new();
        for _ in 0..rounds {
            published.extend(
                backend
                    .publish(&topic("t"), payloads(each, 10))
                    .await
                    .unwrap(),
            );
        }
        let mut shares = Vec::new();
        let ending = async {
            while let Some(share) = working.join_next().await {
                shares.push(share.unwrap());
            }
        };
        tokio::time::timeout(HANG, ending)
            .await
            .expect("all is settled");
        println!("{ordering}: {shares:?} delivered");
        assert!(shares.iter().all(|share| *share > 0), "{shares:?}");
        assert_eq!(backend.stats(&topic("t")).await.unwrap()[0].pending, 0);
        let settled = settled.lock();
        assert_eq!(settled.len(), published.len(), "each is settled once");
        assert_eq!(settled.iter().copied().collect::<BTreeSet<_>>(), published);
    }
}
