//! The rules of the schema, read from the catalogs.

use fanout_core::{
    Backend, BackendExt, CompletionMode, DeleteTopic, MemberExt, StartPosition, TopicConfig,
};

use crate::support::{
    MODES, connect, group, in_mode, messages, migrated, open, per_key, topic, topic_with_group,
    value,
};

#[tokio::test]
async fn the_catalog_keeps_the_rules_of_the_schema() {
    let database = migrated().await;
    let backend = open(&database).await;
    topic_with_group(&backend, "t").await;
    backend
        .create_topic(&topic("q"), TopicConfig::queue())
        .await
        .unwrap();
    backend
        .create_topic(&topic("o"), in_mode(CompletionMode::OffsetWatermark))
        .await
        .unwrap();
    backend
        .subscribe(&topic("o"), &group("g"), per_key())
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
         AND (conrelid::regclass::text ~ 'outbox(_\\d+|_completions|_consumer_groups|_settlements|_ticks|$)'
           OR confrelid::regclass::text ~ 'outbox(_\\d+|_completions|_consumer_groups|_settlements|_ticks|$)')",
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
        "what a topic's groups stand at goes with the topic",
        "SELECT p.name FROM (VALUES ('consumer_group_index'), ('outbox_topic_subscriptions'),
             ('outbox_subscription_offsets'), ('outbox_lane_leases'), ('outbox_group_members'),
             ('outbox_topic_watermarks'), ('outbox_seeks')) AS p (name)
         WHERE NOT EXISTS (
             SELECT FROM pg_constraint c
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ALL (c.conkey)
             WHERE c.conrelid = ('fanout.' || p.name)::regclass AND c.contype = 'f' AND c.confdeltype = 'c'
                 AND c.confrelid = 'fanout.outbox_topics'::regclass AND a.attname = 'topic_id')",
    )
    .await;
    offenders(
        "keys of the partitioned tables begin with topic_id",
        "SELECT i.indexrelid::regclass::text FROM pg_index i
         JOIN pg_partitioned_table p ON p.partrelid = i.indrelid
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
         WHERE a.attname <> 'topic_id'",
    )
    .await;
    offenders(
        "no index covers a column that a lease, a settlement or a cursor changes",
        "SELECT i.indexrelid::regclass::text FROM pg_index i
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
         WHERE i.indrelid::regclass::text ~ 'fanout.outbox_(consumer_groups|completions|subscription_offsets|lane_leases|group_members|topic_watermarks|ticks)'
         AND a.attname NOT IN ('topic_id', 'group_index', 'id', 'lane', 'tick')
         -- A member's row never has another owner.
         AND NOT (a.attname = 'owner' AND i.indrelid = 'fanout.outbox_group_members'::regclass)
         -- Parked messages are few, and only another failure moves them here.
         AND NOT (a.attname = 'available_at' AND pg_get_expr(i.indpred, i.indrelid) = 'parked')
         UNION
         -- The cursors' columns of this name are others than the ticks' key.
         SELECT i.indexrelid::regclass::text FROM pg_index i
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
         WHERE i.indrelid = 'fanout.outbox_subscription_offsets'::regclass AND a.attname = 'tick'
         UNION
         SELECT i.indexrelid::regclass::text FROM pg_index i
         WHERE i.indrelid::regclass::text ~ 'fanout.outbox_(consumer_groups|completions|subscription_offsets|lane_leases|group_members|topic_watermarks|ticks)'
         AND (i.indexprs IS NOT NULL OR pg_get_expr(i.indpred, i.indrelid) <> 'parked')",
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
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.oid IN (
             SELECT t.relid FROM (VALUES ('fanout.outbox_completions'), ('fanout.outbox_consumer_groups')) AS p (name),
                 pg_partition_tree(p.name::regclass) t WHERE t.isleaf
             UNION ALL
             VALUES ('fanout.outbox_subscription_offsets'::regclass), ('fanout.outbox_lane_leases'),
                 ('fanout.outbox_group_members'), ('fanout.outbox_topic_watermarks'), ('fanout.outbox_ticks'))
         AND NOT coalesce(substring(c.reloptions::text FROM 'fillfactor=(\\d+)')::int <= 80, false)",
    )
    .await;
    offenders(
        "sequences of ids and ticks, whose order counts, hoard nothing",
        "SELECT sequencename::text FROM pg_sequences WHERE schemaname = 'fanout'
         AND (sequencename LIKE 'outbox_ids%' OR sequencename = 'ticks') AND cache_size <> 1",
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
         AND proname ~ '^((claim|settle|tick|look|read)_\\d+|commit_cursors)$'
         AND NOT (proconfig @> ARRAY['enable_seqscan=off', 'enable_hashjoin=off', 'enable_mergejoin=off',
             'enable_bitmapscan=off', 'jit=off', 'plan_cache_mode=force_generic_plan'])",
    )
    .await;
    offenders(
        "nor do others that members call often scan a whole table",
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'fanout'::regnamespace
         AND proname IN ('hold_lanes', 'settle_in', 'settle_lanes_in', 'fail', 'release', 'extend', 'fold')
         AND NOT (proconfig @> ARRAY['enable_seqscan=off', 'jit=off']
             AND proconfig && ARRAY['plan_cache_mode=force_generic_plan', 'plan_cache_mode=force_custom_plan'])",
    )
    .await;
    offenders(
        "every topic has its own functions, and its first tick, which sees nothing",
        "SELECT t.name FROM fanout.outbox_topics t
         WHERE (SELECT count(*) FROM pg_proc WHERE pronamespace = 'fanout'::regnamespace
                 AND proname ~ format('^(claim|settle|tick|look|read)_%s$', t.topic_id)) <> 5
             OR NOT EXISTS (SELECT FROM fanout.outbox_ticks k
                 WHERE k.topic_id = t.topic_id AND k.tick = 0 AND k.snapshot::text = '1:1:')",
    )
    .await;
    offenders(
        "every live subscription has a cursor and a lease for each lane, whatever the mode",
        "SELECT s.group_name FROM fanout.outbox_topic_subscriptions s JOIN fanout.outbox_topics t USING (topic_id)
         WHERE s.status <> 'CANCELLED' AND t.lanes <> ALL (ARRAY[
             (SELECT count(*) FROM fanout.outbox_subscription_offsets o
                 WHERE o.topic_id = s.topic_id AND o.group_index = s.group_index AND o.lane < t.lanes),
             (SELECT count(*) FROM fanout.outbox_lane_leases l
                 WHERE l.topic_id = s.topic_id AND l.group_index = s.group_index AND l.lane < t.lanes)])",
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

#[tokio::test]
async fn a_deleted_topic_leaves_nothing_of_its_groups() {
    let database = migrated().await;
    let backend = open(&database).await;
    let client = connect(database.url()).await;
    for mode in MODES {
        backend
            .create_topic(&topic("t"), in_mode(mode))
            .await
            .unwrap();
        backend
            .subscribe(&topic("t"), &group("ordered"), per_key())
            .await
            .unwrap();
        backend
            .subscribe_from_now(&topic("t"), &group("unordered"))
            .await
            .unwrap();
        backend.publish(&topic("t"), messages(20)).await.unwrap();
        for name in ["ordered", "unordered"] {
            let member = backend.join_group(&topic("t"), &group(name)).await.unwrap();
            let deliveries = member.fetch(5).await.unwrap().deliveries;
            member.fail(&deliveries[0], "no").await.unwrap();
            member.done(&deliveries[1]).await.unwrap();
        }
        backend
            .seek(&topic("t"), &group("ordered"), StartPosition::FromBeginning)
            .await
            .unwrap();
        backend.maintain().await.unwrap();
        backend
            .delete_topic(&topic("t"), DeleteTopic::Forced)
            .await
            .unwrap();
        backend.maintain().await.unwrap();
        for table in [
            "outbox",
            "outbox_completions",
            "outbox_consumer_groups",
            "outbox_settlements",
            "outbox_ticks",
            "outbox_subscription_offsets",
            "outbox_lane_leases",
            "outbox_group_members",
            "outbox_topic_watermarks",
            "outbox_seeks",
            "outbox_topic_storage",
            "outbox_topic_subscriptions",
            "consumer_group_index",
        ] {
            let rows = format!("SELECT count(*) FROM fanout.{table}");
            assert_eq!(value::<i64>(&client, &rows).await, 0, "{mode}: {table}");
        }
    }
    let functions = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'fanout'::regnamespace
        AND proname ~ '_\\d+$'";
    assert_eq!(value::<i64>(&client, functions).await, 0);
}
