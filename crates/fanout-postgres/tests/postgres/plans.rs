//! Plans do not depend on statistics.

use fanout_core::{Backend, MemberExt};

use crate::support::{connect, messages, migrated, open, topic, topic_with_group, value};

/// Sequential scans of a topic's tables since the start.
const SCANS: &str = "SELECT coalesce(sum(seq_tup_read), 0)::bigint FROM pg_stat_user_tables
    WHERE schemaname = 'fanout' AND relname ~ '^outbox(_completions|_consumer_groups)?_\\d+'";

/// An emptied table that was vacuumed looks free to scan; a plan made then must not scan it when it
/// is full.
#[tokio::test]
async fn tables_that_look_empty_are_still_read_by_index() {
    let database = migrated().await;
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    for table in [
        "outbox",
        "outbox_completions",
        "outbox_consumer_groups",
        "outbox_settlements",
    ] {
        client
            .execute(&format!("VACUUM ANALYZE fanout.{table}"), &[])
            .await
            .unwrap();
    }
    let before = value::<i64>(&client, SCANS).await;
    // More calls than it takes for a generic plan.
    for _ in 0..12 {
        backend.publish(&topic("t"), messages(40)).await.unwrap();
        let deliveries = member.fetch(40).await.unwrap().deliveries;
        let (done, rest) = deliveries.split_at(30);
        member.done_all(done).await.unwrap();
        member.release(&rest[0]).await.unwrap();
        member.fail(&rest[1], "no").await.unwrap();
        let receipts: Vec<_> = rest[2..].iter().map(|d| d.receipt).collect();
        member
            .extend(&receipts, std::time::Duration::from_secs(60))
            .await
            .unwrap();
    }
    // Statistics of other sessions arrive when those end or are idle for a while.
    drop(member);
    backend.close();
    client
        .execute("SELECT pg_stat_force_next_flush()", &[])
        .await
        .unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let returned = "SELECT coalesce(sum(n_tup_ins), 0)::bigint FROM pg_stat_user_tables
        WHERE schemaname = 'fanout' AND relname ~ '^outbox_consumer_groups_\\d+'";
    while value::<i64>(&client, returned).await < 480 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the sessions' statistics never arrived"
        );
        tokio::task::yield_now().await;
    }
    assert_eq!(
        value::<i64>(&client, SCANS).await - before,
        0,
        "rows read by sequential scans"
    );
}
