//! The rules of the schema, read from the catalogs.

use fanout_core::{Backend, TopicConfig};

use crate::support::{connect, messages, migrated, open, topic, topic_with_group, value};

#[tokio::test]
async fn the_catalog_keeps_the_rules_of_the_schema() {
    let database = migrated().await;
    let backend = open(&database).await;
    topic_with_group(&backend, "t").await;
    backend
        .create_topic(&topic("q"), TopicConfig::queue())
        .await
        .unwrap();
    backend.publish(&topic("t"), messages(1)).await.unwrap();
    let client = connect(database.url()).await;
    let offenders = async |what: &str, query: &str| {
        let rows = client.query(query, &[]).await.expect(query);
        let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(found.is_empty(), "{what}: {found:?}");
    };

    offenders(
        "hot tables have no foreign keys, neither way",
        "SELECT conname::text FROM pg_constraint WHERE contype = 'f' AND connamespace = 'fanout'::regnamespace
         AND (conrelid::regclass::text ~ 'outbox(_\\d+|_completions|_consumer_groups|_settlements|$)'
           OR confrelid::regclass::text ~ 'outbox(_\\d+|_completions|_consumer_groups|_settlements|$)')",
    )
    .await;
    assert!(
        value::<i64>(
            &client,
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = 'fanout'::regnamespace
             AND conrelid::regclass::text ~ 'subscriptions|index|leaves'"
        )
        .await
            >= 4,
        "control tables are tied together"
    );
    offenders(
        "keys of the partitioned tables begin with topic_id",
        "SELECT i.indexrelid::regclass::text FROM pg_index i
         JOIN pg_partitioned_table p ON p.partrelid = i.indrelid
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
         WHERE a.attname <> 'topic_id'",
    )
    .await;
    offenders(
        "no index covers a column that a lease, a failure or a settlement changes",
        "SELECT i.indexrelid::regclass::text FROM pg_index i
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
         WHERE i.indrelid::regclass::text ~ 'fanout.outbox_(consumer_groups|completions)'
         AND a.attname NOT IN ('topic_id', 'group_index', 'id')",
    )
    .await;
    offenders(
        "every leaf of the log keeps small payloads in its rows",
        "SELECT relid::text FROM pg_partition_tree('fanout.outbox') JOIN pg_class c ON c.oid = relid
         WHERE isleaf AND NOT coalesce('toast_tuple_target=8160' = ANY (c.reloptions), false)",
    )
    .await;
    offenders(
        "tables whose rows are updated leave room for heap-only updates",
        "SELECT t.relid::text FROM (VALUES ('fanout.outbox_completions'), ('fanout.outbox_consumer_groups')) AS p (name),
             pg_partition_tree(p.name::regclass) t JOIN pg_class c ON c.oid = t.relid
         WHERE t.isleaf AND NOT coalesce(c.reloptions::text ~ 'fillfactor=', false)",
    )
    .await;
    offenders(
        "sequences of ids hoard nothing",
        "SELECT sequencename::text FROM pg_sequences WHERE schemaname = 'fanout'
         AND sequencename LIKE 'outbox_ids%' AND cache_size <> 1",
    )
    .await;
    offenders(
        "no table has a default partition",
        "SELECT partrelid::regclass::text FROM pg_partitioned_table
         WHERE partdefid <> 0 AND partrelid::regclass::text LIKE 'fanout.%'",
    )
    .await;
    offenders(
        "plans of the hot functions are pinned",
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'fanout'::regnamespace
         AND proname ~ '^(claim|settle)_\\d+$'
         AND NOT (proconfig @> ARRAY['enable_seqscan=off', 'enable_hashjoin=off', 'enable_mergejoin=off',
             'enable_bitmapscan=off', 'jit=off', 'plan_cache_mode=force_generic_plan'])",
    )
    .await;
    offenders(
        "constraints whose names reach callers exist on every leaf",
        "SELECT relid::text FROM pg_partition_tree('fanout.outbox')
         WHERE isleaf AND (SELECT count(*) FROM pg_constraint c WHERE c.conrelid = relid
             AND conname IN ('fanout_key_size', 'fanout_headers_object', 'fanout_payload_size')) <> 3",
    )
    .await;
    offenders(
        "each leaf of the log has its leaf of completion records, with the same bounds",
        "SELECT l.relname::text FROM pg_partition_tree('fanout.outbox') t JOIN pg_class l ON l.oid = t.relid
         WHERE t.isleaf AND NOT EXISTS (
             SELECT FROM pg_class c WHERE c.relname = replace(l.relname, 'outbox_', 'outbox_completions_')
             AND pg_get_expr(c.relpartbound, c.oid) = pg_get_expr(l.relpartbound, l.oid))",
    )
    .await;
    let leaves = "SELECT count(*) FROM fanout.outbox_leaves WHERE topic_id = 1 AND first_id > fanout.drawn_id(1)";
    assert!(
        value::<i64>(&client, leaves).await >= 1,
        "leaves stand ready ahead"
    );
}
