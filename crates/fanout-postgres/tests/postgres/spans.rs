//! Reading costs what is delivered, whatever the span that it lies in.

use fanout_core::{
    Backend, CompletionMode, MemberExt, MessageId, OnFailure, Ordering, TopicConfig, TopicId,
};
use fanout_testpg::TestDatabase;
use tokio_postgres::Client;

use crate::readers::{
    drain, full, join, log_rows_read, maintain, nothing_is_left, publish_bulk, report, subscribe,
    topic_in,
};
use crate::support::{connect, group, messages, migrated, open, owed, take, topic, value};

const MODE: CompletionMode = CompletionMode::OffsetWatermark;

/// Reads what group `g` owes and must not read much more than that. All other sessions have ended.
async fn reads_no_more_than_it_delivers(
    database: &TestDatabase,
    client: &Client,
    of: TopicId,
    batch: usize,
    owed: usize,
) -> std::collections::BTreeSet<MessageId> {
    let before = log_rows_read(client, of).await;
    let backend = open(database).await;
    let member = join(&backend, "t", "g").await;
    let seen = drain(&member, batch, owed).await;
    nothing_is_left(&member).await;
    member.leave().await.expect("leaves");
    let cache = backend.span_cache(of);
    drop(member);
    backend.close();
    drop(backend);
    let read = log_rows_read(client, of).await - before;
    report(&format!(
        "{owed} delivered, {read} rows read of the log, {} by {} statements into the cache",
        cache.rows_read, cache.reads
    ));
    // One more is looked at when the engine opens.
    assert!(
        (read - 1) * 10 <= owed as i64 * 12,
        "{read} rows read to deliver {owed}"
    );
    seen
}

#[tokio::test]
async fn a_bulk_publish_is_read_in_small_batches() {
    let count = if full() { 200_000 } else { 30_000 };
    for (ordering, batch) in [(Ordering::Unordered, 100), (Ordering::PerKey, 70)] {
        let database = migrated().await;
        let client = connect(database.url()).await;
        let backend = open(&database).await;
        let of = topic_in(&backend, "t", MODE).await.id;
        subscribe(&backend, "t", "g", ordering, OnFailure::Park).await;
        publish_bulk(&client, "t", count, 1000).await;
        maintain(&backend).await;
        backend.close();
        drop(backend);
        reads_no_more_than_it_delivers(&database, &client, of, batch, count).await;
        let backend = open(&database).await;
        maintain(&backend).await;
        let watermark = backend.watermark(&topic("t")).await.unwrap();
        assert_eq!(watermark.id, MessageId(count as i64));
    }
}

#[tokio::test]
async fn one_very_late_row_costs_one_row() {
    let count = if full() { 100_000 } else { 10_000 };
    let database = migrated().await;
    let client = connect(database.url()).await;
    let late = connect(database.url()).await;
    let backend = open(&database).await;
    let of = topic_in(&backend, "t", MODE).await.id;
    subscribe(&backend, "t", "g", Ordering::PerKey, OnFailure::Block).await;
    late.batch_execute("BEGIN; SELECT fanout.publish('t', ARRAY['late'::bytea], ARRAY['5'])")
        .await
        .unwrap();
    let member = join(&backend, "t", "g").await;
    for _ in 0..5 {
        publish_bulk(&client, "t", count / 5, 1000).await;
        drain(&member, 500, count / 5).await;
    }
    maintain(&backend).await;
    let watermark = backend.watermark(&topic("t")).await.unwrap();
    assert_eq!(watermark.id, MessageId(0), "the first id is undecided");
    member.leave().await.unwrap();
    drop(member);

    // In a span with nobody else.
    late.batch_execute("COMMIT").await.unwrap();
    maintain(&backend).await;
    backend.close();
    drop((backend, late));
    let seen = reads_no_more_than_it_delivers(&database, &client, of, 100, 1).await;
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [MessageId(1)]);
    let backend = open(&database).await;
    maintain(&backend).await;
    let watermark = backend.watermark(&topic("t")).await.unwrap();
    assert_eq!(watermark.id, MessageId(count as i64 + 1));
}

#[tokio::test]
async fn a_very_late_row_in_a_span_with_many_costs_no_more_than_they_do() {
    let count = if full() { 100_000 } else { 10_000 };
    for behind in [1, count / 10] {
        let database = migrated().await;
        let client = connect(database.url()).await;
        let late = connect(database.url()).await;
        let backend = open(&database).await;
        let of = topic_in(&backend, "t", MODE).await.id;
        subscribe(&backend, "t", "g", Ordering::Unordered, OnFailure::Park).await;
        late.batch_execute("BEGIN; SELECT fanout.publish('t', ARRAY['late'::bytea])")
            .await
            .unwrap();
        let member = join(&backend, "t", "g").await;
        publish_bulk(&client, "t", count, 1000).await;
        drain(&member, 500, count).await;
        member.leave().await.unwrap();
        drop(member);
        late.batch_execute("COMMIT").await.unwrap();
        publish_bulk(&client, "t", behind, 1000).await;
        maintain(&backend).await;
        backend.close();
        drop((backend, late));
        let seen = reads_no_more_than_it_delivers(&database, &client, of, 50, behind + 1).await;
        assert!(seen.contains(&MessageId(1)));
    }
}

/// More of them than a span has ranges of ids, so that ids alone do not tell where they are.
#[tokio::test]
async fn late_rows_scattered_over_the_log_are_read_without_their_neighbours() {
    let (late, between) = (40, if full() { 2_000 } else { 250 });
    let database = migrated().await;
    let client = connect(database.url()).await;
    let backend = open(&database).await;
    let of = topic_in(&backend, "t", MODE).await.id;
    subscribe(&backend, "t", "g", Ordering::Unordered, OnFailure::Park).await;
    let member = join(&backend, "t", "g").await;
    for n in 0..late {
        client
            .batch_execute(&format!(
                "BEGIN; SELECT fanout.publish('t', ARRAY['late'::bytea]);
                 PREPARE TRANSACTION '{}-{n}'",
                database.name()
            ))
            .await
            .unwrap();
        publish_bulk(&client, "t", between, 1000).await;
    }
    drain(&member, 500, late * between).await;
    member.leave().await.unwrap();
    drop(member);
    for n in 0..late {
        let name = database.name();
        client
            .batch_execute(&format!("COMMIT PREPARED '{name}-{n}'"))
            .await
            .unwrap();
    }
    maintain(&backend).await;
    backend.close();
    drop(backend);
    let seen = reads_no_more_than_it_delivers(&database, &client, of, 100, late).await;
    let expected = (0..late).map(|n| MessageId((n * (between + 1) + 1) as i64));
    assert!(seen.into_iter().eq(expected));
}

#[tokio::test]
async fn a_long_pause_costs_neither_ticks_nor_reads() {
    let (transactions, each) = if full() { (1_000, 100) } else { (200, 50) };
    let database = migrated().await;
    let client = connect(database.url()).await;
    let backend = open(&database).await;
    let of = topic_in(&backend, "t", MODE).await.id;
    for name in ["g", "active"] {
        subscribe(&backend, "t", name, Ordering::PerKey, OnFailure::Park).await;
    }
    // It stands in the middle of a span when it is paused.
    publish_bulk(&client, "t", 1_000, 100).await;
    let paused = join(&backend, "t", "g").await;
    let before = drain(&paused, 100, 300).await;
    paused.leave().await.unwrap();
    backend.pause(&topic("t"), &group("g")).await.unwrap();

    let mut active = join(&backend, "t", "active").await;
    drain(&active, 500, 1_000).await;
    let ticks = "SELECT count(*) FROM fanout.outbox_ticks";
    let mut most_ticks = 0;
    for n in 1..=transactions {
        backend.publish(&topic("t"), messages(each)).await.unwrap();
        drain(&active, each, each).await;
        most_ticks = most_ticks.max(value::<i64>(&client, ticks).await);
        if n % 50 == 0 {
            // Nobody stands at most of the ticks when no session has them in memory.
            active.leave().await.unwrap();
            backend.maintain().await.unwrap();
            let left = value::<i64>(&client, ticks).await;
            // Tick 0, the newest, where g stands and ends its span, where lanes of both stand.
            assert!(left <= 12, "{left} ticks after {n} transactions");
            active = join(&backend, "t", "active").await;
        }
    }
    active.leave().await.unwrap();
    let taken = "SELECT last_value FROM fanout.ticks";
    println!(
        "{} ticks taken, at most {most_ticks} kept",
        value::<i64>(&client, taken).await
    );
    let owed = 700 + transactions * each;
    assert_eq!(
        backend.stats(&topic("t")).await.unwrap()[1].pending,
        owed as u64
    );
    backend.resume(&topic("t"), &group("g")).await.unwrap();
    drop((paused, active));
    backend.close();
    drop(backend);
    let after = reads_no_more_than_it_delivers(&database, &client, of, 200, owed).await;
    assert!(before.is_disjoint(&after));
}

/// While a message is in hand its lane reads on, but no more than it may know, however much commits late.
#[tokio::test]
async fn a_bulk_that_commits_late_behind_a_message_in_hand_is_not_read_whole() {
    const LATE: usize = 60_000;
    let database = migrated().await;
    let client = connect(database.url()).await;
    let late = connect(database.url()).await;
    let backend = open(&database).await;
    let config = TopicConfig {
        completion_mode: MODE,
        lanes: 1,
        ..TopicConfig::default()
    };
    let of = backend.create_topic(&topic("t"), config).await.unwrap().id;
    subscribe(&backend, "t", "g", Ordering::PerKey, OnFailure::Park).await;
    late.batch_execute("BEGIN").await.unwrap();
    publish_bulk(&late, "t", LATE, 1000).await;
    publish_bulk(&client, "t", 1, 1).await;
    let member = join(&backend, "t", "g").await;
    let held = take(&*member, 1).await;
    late.batch_execute("COMMIT").await.unwrap();
    for _ in 0..5 {
        member.fetch(10).await.unwrap();
    }
    let read = backend.span_cache(of).rows_read;
    assert!(read <= 25_000, "{read} rows read");
    member.done_all(&held).await.unwrap();
    while !owed(&backend, &topic("t"), &group("g")).await.is_empty() {
        let deliveries = member.fetch(1000).await.unwrap().deliveries;
        member.done_all(&deliveries).await.unwrap();
    }
}
