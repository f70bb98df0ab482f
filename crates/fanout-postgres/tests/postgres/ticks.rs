//! Ticks grow, and the spans between them partition the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use fanout_core::{Backend, CompletionMode, OnFailure, Ordering};
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::readers::{full, log_rows_read, maintain, publish_bulk, subscribe, topic_in};
use crate::support::{connect, group, migrated, open, topic, value};

const MODE: CompletionMode = CompletionMode::OffsetWatermark;

/// Each tick beside the one before.
const TICKS: &str = "WITH t AS MATERIALIZED (
    SELECT k.*, lag(k.snapshot) OVER (ORDER BY k.tick) AS before FROM fanout.outbox_ticks k)";

/// Whether a message lies in the span that a tick ends.
const IN_SPAN: &str =
    "pg_visible_in_snapshot(m.tx, t.snapshot) AND NOT pg_visible_in_snapshot(m.tx, t.before)";

async fn must_grow_and_partition(client: &Client) {
    for (what, query) in [
        (
            "ticks that do not see what the one before sees",
            format!(
                "{TICKS} SELECT count(*) FROM t
                 WHERE pg_snapshot_xmax(before) > pg_snapshot_xmax(snapshot)
                    OR pg_snapshot_xmin(before) > pg_snapshot_xmin(snapshot)
                    OR EXISTS (SELECT FROM pg_snapshot_xip(snapshot) AS open
                        WHERE pg_visible_in_snapshot(open, before))"
            ),
        ),
        (
            "messages that are not in exactly one span",
            format!(
                "{TICKS} SELECT count(*) FROM fanout.outbox m
                 WHERE 1 <> (SELECT count(*) FROM t WHERE {IN_SPAN})"
            ),
        ),
        (
            "messages that the ids of their span do not cover",
            format!(
                "{TICKS} SELECT count(*) FROM fanout.outbox m
                 JOIN t ON {IN_SPAN} WHERE NOT t.id_ranges @> m.id"
            ),
        ),
        (
            "ticks that count their messages wrongly",
            format!(
                "{TICKS} SELECT count(*) FROM t WHERE before IS NOT NULL
                    AND (message_count, untracked_count) <> (
                        SELECT count(*), count(*) FILTER (WHERE NOT m.tracked)
                        FROM fanout.outbox m WHERE {IN_SPAN})"
            ),
        ),
        (
            "messages that were undecided at a tick which says they were decided",
            format!(
                "{TICKS} SELECT count(*) FROM fanout.outbox m JOIN t
                 ON m.id <= t.decided_id AND NOT pg_visible_in_snapshot(m.tx, t.snapshot)"
            ),
        ),
        (
            "ticks with too many ranges",
            format!(
                "{TICKS} SELECT count(*) FROM t
                 WHERE (SELECT count(*) FROM unnest(id_ranges)) > 16"
            ),
        ),
    ] {
        assert_eq!(value::<i64>(client, &query).await, 0, "{what}");
    }
}

/// Publishes in transactions that end out of order.
async fn publish(client: Client, number: usize, transactions: usize) {
    for n in 0..transactions {
        let end = if (n + number).is_multiple_of(5) {
            "ROLLBACK"
        } else {
            "COMMIT"
        };
        let pause = (n * 7 + number * 3) % 11;
        client
            .batch_execute(&format!(
                "BEGIN;
                 SELECT fanout.publish('t', ARRAY['a'::bytea, 'b'], ARRAY['k{number}', NULL]);
                 SAVEPOINT s;
                 SELECT fanout.publish('t', ARRAY['undone'::bytea]);
                 ROLLBACK TO SAVEPOINT s;
                 SELECT pg_sleep({pause} / 1000.0);
                 SELECT fanout.publish('t', ARRAY['c'::bytea], ARRAY['k{number}']);
                 {end}"
            ))
            .await
            .expect("publishes");
    }
}

#[tokio::test]
async fn concurrent_tickers_never_go_back_and_spans_partition_the_log() {
    let transactions = if full() { 500 } else { 60 };
    let database = migrated().await;
    let backend = open(&database).await;
    topic_in(&backend, "t", MODE).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut tickers = JoinSet::new();
    for number in 0..8 {
        let client = connect(database.url()).await;
        let done = done.clone();
        tickers.spawn(async move {
            let call = format!(
                "SELECT newest FROM fanout.tick_1({}, interval '0')",
                number % 4 == 0
            );
            let mut newest = 0;
            while !done.load(Relaxed) {
                let tick = value::<i64>(&client, &call).await;
                assert!(tick >= newest, "tick {tick} after {newest}");
                newest = tick;
            }
        });
    }
    let mut publishers = JoinSet::new();
    for number in 0..8 {
        publishers.spawn(publish(connect(database.url()).await, number, transactions));
    }
    while let Some(end) = publishers.join_next().await {
        end.unwrap();
    }
    done.store(true, Relaxed);
    while let Some(end) = tickers.join_next().await {
        end.unwrap();
    }
    let client = connect(database.url()).await;
    client
        .execute("SELECT fanout.tick_1(true, interval '0')", &[])
        .await
        .unwrap();
    let overlapping = format!(
        "{TICKS}, w AS (SELECT tick, id_ranges, lag(id_ranges) OVER (ORDER BY tick) AS was FROM t)
         SELECT count(*) FROM w WHERE lower(id_ranges) < upper(was)"
    );
    let (ticks, overlapping, messages) = (
        value::<i64>(&client, "SELECT count(*) FROM fanout.outbox_ticks").await,
        value::<i64>(&client, &overlapping).await,
        value::<i64>(&client, "SELECT count(*) FROM fanout.outbox").await,
    );
    println!("{messages} messages, {ticks} ticks taken, {overlapping} overlap in ids");
    assert!(
        ticks > 20 && overlapping > 10,
        "this history proves nothing"
    );
    must_grow_and_partition(&client).await;

    // A paused group stands somewhere in the middle; the rest is merged around it.
    subscribe(&backend, "t", "g", Ordering::PerKey, OnFailure::Park).await;
    let middle =
        "UPDATE fanout.outbox_subscription_offsets SET tick = k.tick, through_tick = k.tick
        FROM (SELECT tick FROM fanout.outbox_ticks ORDER BY tick LIMIT 1 OFFSET 10) k";
    assert_eq!(client.execute(middle, &[]).await.unwrap(), 8);
    backend.pause(&topic("t"), &group("g")).await.unwrap();
    maintain(&backend).await;
    let left = value::<i64>(&client, "SELECT count(*) FROM fanout.outbox_ticks").await;
    assert!(left <= 4, "{left} ticks are left");
    must_grow_and_partition(&client).await;
}

/// A tick looks at what is new, not at the log, whatever the statistics of its tables.
#[tokio::test]
async fn a_tick_reads_only_what_is_new_while_a_publisher_stays_open() {
    let (rounds, each) = if full() { (500, 100) } else { (60, 50) };
    let database = migrated().await;
    let backend = open(&database).await;
    let of = topic_in(&backend, "t", MODE).await.id;
    backend.close();
    drop(backend);
    let client = connect(database.url()).await;
    // A session of the server would keep the test from reading its statistics.
    let open = format!(
        "BEGIN; SELECT fanout.publish('t', ARRAY['late'::bytea]);
         PREPARE TRANSACTION '{}'",
        database.name()
    );
    client.batch_execute(&open).await.unwrap();
    let before = log_rows_read(&client, of).await;
    for _ in 0..rounds {
        publish_bulk(&client, "t", each, 10).await;
        client
            .execute("SELECT fanout.tick_1(true, interval '0')", &[])
            .await
            .unwrap();
    }
    let read = log_rows_read(&client, of).await - before;
    client
        .batch_execute(&format!("COMMIT PREPARED '{}'", database.name()))
        .await
        .unwrap();
    let published = (rounds * each) as i64;
    println!("{read} rows read by {rounds} ticks over {published} messages");
    assert!(read * 10 <= published * 12, "{read} of {published}");
}
