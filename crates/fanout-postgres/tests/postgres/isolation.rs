//! One topic does not touch another's tables.

use fanout_core::Backend;

use crate::support::{connect, group, messages, migrated, open, topic, topic_with_group};

#[tokio::test]
async fn no_call_on_a_topic_locks_a_table_of_another() {
    let database = migrated().await;
    let backend = open(&database).await;
    for name in ["a", "b", "c"] {
        topic_with_group(&backend, name).await;
        backend.publish(&topic(name), messages(3)).await.unwrap();
    }
    let client = connect(database.url()).await;
    for call in [
        "claim_2(2, 0::smallint, 0, 1, '1 s', NULL)",
        "settle_2(2, 0::smallint, '{1}', '{1}', true, NULL)",
        "fail(2, 2, 0::smallint, '{2}', '{1}', '{1 s}', '{no}', NULL)",
        "release(2, 2, 0::smallint, '{2}', '{1}')",
        "extend(2, 2, 0::smallint, '{2}', '{1}', '1 s', NULL)",
        "dead_letter(2, 1, 2, 1, 'poison', NULL, NULL)",
        "lowest_owed(2, 0::smallint, 0)",
        "fold(2, 0::smallint, 10, NULL)",
        "reap(2, 1::smallint, 10, NULL)",
        "catch_up(2, 10)",
        "group_stats(2, NULL)",
        "publish('b', ARRAY['x'::bytea])",
    ] {
        client.batch_execute("BEGIN").await.unwrap();
        // Often enough for a generic plan.
        for _ in 0..7 {
            client
                .batch_execute(&format!("SELECT * FROM fanout.{call}"))
                .await
                .expect(call);
        }
        let foreign = client
            .query(
                "SELECT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid()
                 AND relation::regclass::text ~ '^fanout\\.outbox(_completions|_consumer_groups)?_[13](_|$)'",
                &[],
            )
            .await
            .unwrap();
        let foreign: Vec<String> = foreign.iter().map(|row| row.get(0)).collect();
        assert!(foreign.is_empty(), "{call} locks {foreign:?}");
        client.batch_execute("ROLLBACK").await.unwrap();
    }
    assert_eq!(
        backend
            .subscription(&topic("b"), &group("g"))
            .await
            .unwrap()
            .group,
        group("g")
    );
}
