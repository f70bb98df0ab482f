//! Plans do not depend on statistics.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, BackendExt, CompletionMode, Member, MemberExt, NewMessage, Transactional,
};
use fanout_postgres::PostgresBackend;
use fanout_testpg::TestDatabase;
use tokio_postgres::Client;

use crate::support::{MODES, connect, group, in_mode, migrated, open, per_key, take, topic, value};

/// The tables that calls of publishers and consumers read and write.
const HOT: &str = "schemaname = 'fanout' AND relname ~ '^outbox(_completions|_consumer_groups)?_\\d+|^outbox_(settlements|ticks|subscription_offsets|lane_leases|group_members|topic_watermarks)$'";

const GROUPS: [&str; 2] = ["unordered", "ordered"];

/// A topic in each mode with a member of an unordered group and one of an ordered group.
async fn topics(backend: &PostgresBackend) -> Vec<Arc<dyn Member>> {
    let mut members = Vec::new();
    for mode in MODES {
        let to = topic(name(mode));
        backend.create_topic(&to, in_mode(mode)).await.unwrap();
        backend
            .subscribe_from_now(&to, &group(GROUPS[0]))
            .await
            .unwrap();
        backend
            .subscribe(&to, &group(GROUPS[1]), per_key())
            .await
            .unwrap();
        for of in GROUPS {
            members.push(backend.join_group(&to, &group(of)).await.unwrap());
        }
    }
    members
}

const fn name(mode: CompletionMode) -> &'static str {
    match mode {
        CompletionMode::OffsetWatermark => "o",
        CompletionMode::ReferenceCounting => "r",
    }
}

async fn publish(backend: &PostgresBackend, count: usize) {
    for mode in MODES {
        let keyed = |n: usize| NewMessage::new("x").key(format!("key {n}"));
        let batch = (0..count).map(keyed).collect();
        backend.publish(&topic(name(mode)), batch).await.unwrap();
    }
}

/// Makes the tables look as they are: the catalog says so until somebody analyzes them again.
async fn analyze(client: &Client) {
    for table in [
        "outbox",
        "outbox_completions",
        "outbox_consumer_groups",
        "outbox_settlements",
        "outbox_ticks",
        "outbox_subscription_offsets",
        "outbox_lane_leases",
        "outbox_group_members",
    ] {
        client
            .batch_execute(&format!("VACUUM ANALYZE fanout.{table}"))
            .await
            .unwrap();
    }
}

/// Closes the engine and waits until its sessions, and with them what they counted, have arrived.
async fn counted(backend: &PostgresBackend, client: &Client) {
    backend.close();
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let ended = async {
        while value::<i64>(client, others).await > 0 {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), ended);
    ended.await.expect("the engine's sessions end");
    // This session's own.
    client
        .execute("SELECT pg_stat_force_next_flush()", &[])
        .await
        .unwrap();
}

/// Rows that were read by sequential scans, and of which tables.
async fn scanned(client: &Client) -> Vec<(String, i64)> {
    let query = format!(
        "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables
         WHERE seq_tup_read > 0 AND {HOT} ORDER BY 1"
    );
    let rows = client.query(&query, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn every_call(database: &TestDatabase, client: &Client) {
    let backend = open(database).await;
    let mut members = Vec::new();
    for mode in MODES {
        for of in GROUPS {
            let (to, of) = (topic(name(mode)), group(of));
            members.push(backend.join_group(&to, &of).await.unwrap());
        }
    }
    // More rounds than it takes for a generic plan.
    for _ in 0..12 {
        publish(&backend, 40).await;
        for member in &members {
            // What failed in the rounds before is not due yet; what was released is, at once.
            let deliveries = take(&**member, 40).await;
            let receipts: Vec<_> = deliveries.iter().map(|d| d.receipt).collect();
            member
                .extend(&receipts, Duration::from_secs(60))
                .await
                .unwrap();
            member.release(&deliveries[0]).await.unwrap();
            member.fail(&deliveries[1], "no").await.unwrap();
            let mut tx = backend.begin().await.unwrap();
            backend.settle_in(tx.tx(), &receipts[2..4]).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(
                member.done_all(&deliveries[4..]).await.unwrap(),
                deliveries.len() - 4
            );
            let again = take(&**member, 1).await;
            member.done_all(&again).await.unwrap();
        }
    }
    for member in members {
        member.leave().await.unwrap();
    }
    counted(&backend, client).await;
}

/// An emptied table that was vacuumed looks free to scan; a plan made then must not scan it when it
/// is full.
#[tokio::test]
async fn tables_that_look_empty_are_still_read_by_index() {
    let database = migrated().await;
    let backend = open(&database).await;
    drop(topics(&backend).await);
    let client = connect(database.url()).await;
    counted(&backend, &client).await;
    analyze(&client).await;
    let before = scanned(&client).await;
    every_call(&database, &client).await;
    assert_eq!(scanned(&client).await, before, "never filled");

    client
        .batch_execute(
            "TRUNCATE fanout.outbox_1, fanout.outbox_2, fanout.outbox_completions_1,
                 fanout.outbox_completions_2, fanout.outbox_consumer_groups_1,
                 fanout.outbox_consumer_groups_2",
        )
        .await
        .unwrap();
    let before = scanned(&client).await;
    every_call(&database, &client).await;
    assert_eq!(scanned(&client).await, before, "just truncated");
}

/// On an empty table all indexes look alike; a plan made then must use the right one when it is full.
#[tokio::test]
async fn plans_that_were_made_on_empty_tables_read_little_of_full_ones() {
    const BULK: usize = 5000;
    const ROUNDS: usize = 100;
    let database = migrated().await;
    let backend = PostgresBackend::builder(database.url())
        // One session, so that all its plans are of the first calls.
        .pool_size(1)
        .connect()
        .await
        .unwrap();
    let members = topics(&backend).await;
    let client = connect(database.url()).await;
    analyze(&client).await;
    for member in &members {
        assert_eq!(member.fetch(10).await.unwrap().deliveries, []);
    }
    publish(&backend, 1).await;
    for member in &members {
        let deliveries = take(&**member, 1).await;
        member.done_all(&deliveries).await.unwrap();
    }
    publish(&backend, BULK).await;
    for member in &members {
        let mut settled = 0;
        while settled < BULK {
            let deliveries = take(&**member, 1).await;
            settled += member.done_all(&deliveries).await.unwrap();
        }
    }
    for _ in 0..ROUNDS {
        publish(&backend, 1).await;
        for member in &members {
            let deliveries = take(&**member, 1).await;
            member.done_all(&deliveries).await.unwrap();
        }
    }
    drop(members);
    counted(&backend, &client).await;
    let read = "SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_user_indexes
        WHERE schemaname = 'fanout' AND relname ~ '^outbox_\\d+'";
    let read = value::<i64>(&client, read).await;
    // Each row of the log by each of its readers: two groups of two topics, and a tick.
    let needed = i64::try_from((BULK + ROUNDS) * 2 * 3).unwrap();
    assert!(
        read < 3 * needed,
        "{read} rows of the log were read, {needed} are needed"
    );
}
