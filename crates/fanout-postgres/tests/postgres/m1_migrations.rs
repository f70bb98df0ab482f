//! M1: every migration up and down, empty and on data.

use fanout_core::{
    Backend, BackendExt, CompletionMode, ErrorKind, MemberExt, MessageId, NewMessage,
    StartPosition, Subscribe, SubscriptionStatus, TopicConfig,
};
use fanout_postgres::{Migrator, PostgresBackend};
use fanout_testpg::TestDatabase;

use crate::support::{
    MODES, connect, drain, drain_by, group, in_mode, messages, migrated, open, owed, payloads,
    per_key, take, topic, topic_with_group, value,
};

const NAMES: [&str; 3] = ["0001_base_queue", "0010_fan_out", "0011_offset_watermark"];

/// What is left in the schema besides diesel's ledger.
const LEFT: &str = "SELECT count(*) FROM (
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'fanout' AND c.relname NOT LIKE '%diesel_schema_migrations%'
    UNION ALL
    SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'fanout') AS everything";

/// The schema as text: relations with their columns, constraints and indexes, functions, triggers.
const SCHEMA: &str = "SELECT string_agg(line, E'\\n' ORDER BY line) FROM (
    SELECT format('%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'fanout'::regnamespace
    UNION ALL
    SELECT format('%s %s', c.relname, c.reloptions) FROM pg_class c
    WHERE c.relnamespace = 'fanout'::regnamespace
    UNION ALL
    SELECT format('%s %s', c.conrelid::regclass, pg_get_constraintdef(c.oid)) FROM pg_constraint c
    WHERE c.connamespace = 'fanout'::regnamespace
    UNION ALL
    SELECT pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.pronamespace = 'fanout'::regnamespace
    UNION ALL
    SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'fanout'::regnamespace AND NOT t.tgisinternal
) AS lines (line)";

#[tokio::test]
async fn m1_every_migration_goes_up_and_down_on_an_empty_database() {
    let database = TestDatabase::empty().await.unwrap();
    let migrator = Migrator::new(database.url());
    let client = connect(database.url()).await;
    for _ in 0..2 {
        assert_eq!(migrator.up().await.unwrap(), NAMES);
        assert_eq!(
            migrator.up().await.unwrap(),
            Vec::<String>::new(),
            "nothing twice"
        );
        for (step, name) in NAMES.iter().rev().enumerate() {
            assert_eq!(migrator.down(1, false).await.unwrap(), [*name]);
            let applied = migrator
                .status()
                .await
                .unwrap()
                .iter()
                .filter(|m| m.applied)
                .count();
            assert_eq!(applied, NAMES.len() - step - 1);
        }
        assert_eq!(
            value::<i64>(&client, LEFT).await,
            0,
            "nothing is left behind"
        );
        assert_eq!(migrator.down(1, false).await.unwrap(), Vec::<String>::new());
    }
}

/// Steps one by one, so that what each makes is there when the one above it has gone.
#[tokio::test]
async fn m1_each_down_leaves_the_schema_as_it_was_before_its_up() {
    let database = TestDatabase::empty().await.unwrap();
    let migrator = Migrator::new(database.url());
    migrator.up().await.unwrap();
    let backend = open(&database).await;
    for (mode, name) in MODES.into_iter().zip(["r", "o"]) {
        backend
            .create_topic(&topic(name), in_mode(mode))
            .await
            .unwrap();
    }
    backend.close();
    let client = connect(database.url()).await;
    let mut schemas = vec![value::<String>(&client, SCHEMA).await];
    for _ in 1..NAMES.len() {
        migrator.down(1, false).await.unwrap();
        schemas.push(value::<String>(&client, SCHEMA).await);
    }
    // The topics of the first step alone, then each step upwards.
    migrator.up().await.unwrap();
    assert_eq!(value::<String>(&client, SCHEMA).await, schemas[0]);
    for before in &schemas[1..] {
        migrator.down(1, false).await.unwrap();
        assert_eq!(&value::<String>(&client, SCHEMA).await, before);
    }
}

#[tokio::test]
async fn m1_each_step_can_be_repeated_alone_on_settled_data() {
    let database = migrated().await;
    let migrator = Migrator::new(database.url());
    let backend = open(&database).await;
    for (mode, name) in MODES.into_iter().zip(["r", "o"]) {
        let config = in_mode(mode);
        backend.create_topic(&topic(name), config).await.unwrap();
        backend
            .subscribe_from_now(&topic(name), &group("g"))
            .await
            .unwrap();
        backend.publish(&topic(name), messages(5)).await.unwrap();
        assert_eq!(drain(&backend, &topic(name), &group("g")).await.len(), 5);
    }
    for (mode, name) in MODES.into_iter().zip(["rq", "oq"]) {
        let config = TopicConfig {
            completion_mode: mode,
            ..TopicConfig::queue()
        };
        backend.create_topic(&topic(name), config).await.unwrap();
        backend.publish(&topic(name), messages(2)).await.unwrap();
        let queue = backend.join_queue(&topic(name)).await.unwrap();
        assert_eq!(drain_by(&backend, &*queue).await.len(), 2);
    }
    backend.close();

    let client = connect(database.url()).await;
    let publish_while_down = async || {
        for name in ["r", "o", "rq", "oq"] {
            client
                .execute(
                    "SELECT fanout.publish($1, ARRAY['while down'::bytea])",
                    &[&name],
                )
                .await
                .unwrap();
        }
    };
    let take_from_queue = async |backend: &PostgresBackend, name: &str| {
        let queue = backend.join_queue(&topic(name)).await.unwrap();
        payloads(&drain_by(backend, &*queue).await)
    };

    assert_eq!(migrator.down(1, false).await.unwrap(), NAMES[2..]);
    assert_eq!(
        value::<i64>(&client, "SELECT count(*) FROM fanout.outbox").await,
        14,
        "the log stays"
    );
    // A service that publishes by the function alone goes on meanwhile.
    publish_while_down().await;
    assert_eq!(migrator.up().await.unwrap(), NAMES[2..]);
    let backend = open(&database).await;
    for name in ["r", "o"] {
        let drained = drain(&backend, &topic(name), &group("g")).await;
        assert_eq!(
            payloads(&drained),
            ["while down"],
            "{name}: what was settled is not delivered again, what came since is"
        );
        backend.publish(&topic(name), messages(1)).await.unwrap();
        assert_eq!(drain(&backend, &topic(name), &group("g")).await.len(), 1);
    }
    for name in ["rq", "oq"] {
        assert_eq!(
            take_from_queue(&backend, name).await,
            ["while down"],
            "{name}"
        );
    }
    // Who asks for the whole log has it, whatever was accounted for how.
    for name in ["r", "o"] {
        let from_beginning = Subscribe {
            start: StartPosition::FromBeginning,
            options: Default::default(),
        };
        backend
            .subscribe(&topic(name), &group("all"), from_beginning)
            .await
            .unwrap();
        let drained = drain(&backend, &topic(name), &group("all")).await;
        assert_eq!(drained.len(), 7, "{name}");
    }
    backend.close();

    assert_eq!(
        migrator.down(2, false).await.unwrap(),
        [NAMES[2], NAMES[1]],
        "the latest first"
    );
    publish_while_down().await;
    assert_eq!(migrator.up().await.unwrap(), NAMES[1..]);
    let backend = open(&database).await;
    for name in ["rq", "oq"] {
        assert_eq!(
            take_from_queue(&backend, name).await,
            ["while down"],
            "{name}"
        );
    }
    for name in ["r", "o"] {
        backend
            .subscribe_from_now(&topic(name), &group("g"))
            .await
            .unwrap();
        backend.publish(&topic(name), messages(1)).await.unwrap();
        let drained = drain(&backend, &topic(name), &group("g")).await;
        assert_eq!(
            payloads(&drained),
            ["message 0"],
            "{name}: pub/sub works again, from now on"
        );
    }
    backend.close();

    assert_eq!(
        migrator.down(3, false).await.unwrap(),
        [NAMES[2], NAMES[1], NAMES[0]]
    );
    assert_eq!(value::<i64>(&client, LEFT).await, 0);
    assert_eq!(migrator.up().await.unwrap(), NAMES);
}

/// What tracking rows account for needs no cursors, so it outlives them.
#[tokio::test]
async fn m1_what_is_tracked_or_parked_survives_the_removal_of_cursors() {
    let database = migrated().await;
    let migrator = Migrator::new(database.url());
    let client = connect(database.url()).await;
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "r").await;
    backend.publish(&topic("r"), messages(4)).await.unwrap();
    let deliveries = take(&*member, 4).await;
    member.done(&deliveries[0]).await.unwrap();
    member.fail(&deliveries[1], "no").await.unwrap();
    backend
        .create_topic(&topic("o"), in_mode(CompletionMode::OffsetWatermark))
        .await
        .unwrap();
    backend
        .subscribe_from_now(&topic("o"), &group("g"))
        .await
        .unwrap();
    backend.publish(&topic("o"), messages(3)).await.unwrap();
    let reader = backend.join_group(&topic("o"), &group("g")).await.unwrap();
    let mut deliveries = take(&*reader, 3).await;
    deliveries.sort_by_key(|delivery| delivery.message.id);
    reader.fail(&deliveries[2], "no").await.unwrap();
    reader.done_all(&deliveries[..2]).await.unwrap();
    drop((member, reader));
    backend.close();

    assert_eq!(migrator.down(1, false).await.unwrap(), NAMES[2..]);
    let refused = migrator.down(1, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldLoseMessages);
    assert!(refused.message().contains("unsettled=`4`"), "{refused}");
    // A service that publishes by the function alone goes on meanwhile.
    for name in ["r", "o"] {
        client
            .execute(
                "SELECT fanout.publish($1, ARRAY['while down'::bytea])",
                &[&name],
            )
            .await
            .unwrap();
    }
    assert_eq!(migrator.up().await.unwrap(), NAMES[2..]);
    client
        .batch_execute(
            "UPDATE fanout.outbox_consumer_groups SET available_at = clock_timestamp()
             WHERE available_at IS NOT NULL;
             UPDATE fanout.outbox_consumer_groups SET leased_until = clock_timestamp()
             WHERE leased_until IS NOT NULL",
        )
        .await
        .unwrap();
    let backend = open(&database).await;
    let drained = drain(&backend, &topic("r"), &group("g")).await;
    assert_eq!(
        payloads(&drained),
        ["message 1", "message 2", "message 3", "while down"]
    );
    let attempts: Vec<_> = drained.iter().map(|d| (d.message.id, d.attempt)).collect();
    assert!(attempts.contains(&(MessageId(2), 2)), "{attempts:?}");
    let drained = drain(&backend, &topic("o"), &group("g")).await;
    assert_eq!(payloads(&drained), ["message 2", "while down"]);
    assert!(drained.iter().any(|d| d.attempt == 2), "{drained:?}");
}

#[tokio::test]
async fn m1_down_refuses_with_counts_while_messages_are_unsettled_unless_forced() {
    let database = migrated().await;
    let migrator = Migrator::new(database.url());
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "t").await;
    backend.publish(&topic("t"), messages(3)).await.unwrap();
    let fetched = member.fetch(1).await.unwrap();
    member.done(&fetched.deliveries[0]).await.unwrap();
    drop(member);
    backend.close();

    let refused = migrator.down(2, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldLoseMessages);
    assert!(refused.message().contains("unsettled=`2`"), "{refused}");
    let backend = open(&database).await;
    assert_eq!(
        backend.stats(&topic("t")).await.unwrap()[0].pending,
        2,
        "nothing was lost, and nothing reverted"
    );
    backend.close();

    assert_eq!(migrator.down(2, true).await.unwrap(), [NAMES[2], NAMES[1]]);
    assert_eq!(migrator.up().await.unwrap(), NAMES[1..]);
}

#[tokio::test]
async fn m1_down_refuses_with_counts_while_groups_owe_by_their_cursors_unless_forced() {
    let database = migrated().await;
    let migrator = Migrator::new(database.url());
    let backend = open(&database).await;
    backend
        .create_topic(&topic("o"), in_mode(CompletionMode::OffsetWatermark))
        .await
        .unwrap();
    for name in ["a", "b"] {
        backend
            .subscribe_from_now(&topic("o"), &group(name))
            .await
            .unwrap();
    }
    backend.publish(&topic("o"), messages(3)).await.unwrap();
    drain(&backend, &topic("o"), &group("a")).await;
    let member = backend.join_group(&topic("o"), &group("b")).await.unwrap();
    let mut deliveries = take(&*member, 3).await;
    deliveries.sort_by_key(|delivery| delivery.message.id);
    member.done(&deliveries[1]).await.unwrap();
    drop(member);
    backend.close();

    let refused = migrator.down(1, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldLoseMessages);
    assert!(refused.message().contains("owed=`2`"), "{refused}");
    let backend = open(&database).await;
    assert_eq!(
        owed(&backend, &topic("o"), &group("b")).await,
        [deliveries[0].message.id, deliveries[2].message.id],
        "nothing was lost"
    );
    backend.close();

    assert_eq!(migrator.down(1, true).await.unwrap(), NAMES[2..]);
    assert_eq!(migrator.up().await.unwrap(), NAMES[2..]);
    let backend = open(&database).await;
    backend.publish(&topic("o"), messages(1)).await.unwrap();
    for name in ["a", "b"] {
        let drained = drain(&backend, &topic("o"), &group(name)).await;
        assert_eq!(
            payloads(&drained),
            ["message 0"],
            "{name}: goes on from where the cursors are made again"
        );
        assert_eq!(drained[0].message.id, MessageId(4), "{name}");
    }
}

/// Without cursors nobody can read in order.
#[tokio::test]
async fn m1_down_refuses_while_a_group_reads_in_order_unless_forced() {
    for mode in MODES {
        let database = migrated().await;
        let migrator = Migrator::new(database.url());
        let backend = open(&database).await;
        backend
            .create_topic(&topic("t"), in_mode(mode))
            .await
            .unwrap();
        for name in ["ordered", "parks", "gone"] {
            backend
                .subscribe(&topic("t"), &group(name), per_key())
                .await
                .unwrap();
        }
        backend
            .subscribe_from_now(&topic("t"), &group("unordered"))
            .await
            .unwrap();
        backend.cancel(&topic("t"), &group("gone")).await.unwrap();
        let keyed = |n: usize| NewMessage::new(format!("message {n}")).key("k");
        let batch = (0..3).map(keyed).collect();
        backend.publish(&topic("t"), batch).await.unwrap();
        drain(&backend, &topic("t"), &group("ordered")).await;
        drain(&backend, &topic("t"), &group("unordered")).await;
        let member = backend
            .join_group(&topic("t"), &group("parks"))
            .await
            .unwrap();
        let deliveries = take(&*member, 3).await;
        member.fail(&deliveries[0], "no").await.unwrap();
        member.done(&deliveries[1]).await.unwrap();
        drop(member);
        backend.close();

        let refused = migrator.down(1, false).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldLoseMessages);
        assert!(
            refused.message().contains("owed=`1` ordered=`2`"),
            "{mode}: {refused}"
        );
        assert_eq!(migrator.down(1, true).await.unwrap(), NAMES[2..]);
        assert_eq!(migrator.up().await.unwrap(), NAMES[2..]);

        let backend = open(&database).await;
        backend.publish(&topic("t"), messages(1)).await.unwrap();
        for name in ["ordered", "parks"] {
            let subscription = backend
                .subscription(&topic("t"), &group(name))
                .await
                .unwrap();
            assert_eq!(subscription.status, SubscriptionStatus::Cancelled);
        }
        backend.maintain().await.unwrap();
        let client = connect(database.url()).await;
        let parked = "SELECT count(*) FROM fanout.outbox_consumer_groups WHERE parked";
        assert_eq!(value::<i64>(&client, parked).await, 0, "{mode}: reaped");
        let again = backend
            .subscribe(&topic("t"), &group("ordered"), per_key())
            .await
            .unwrap();
        assert_eq!(again.status, SubscriptionStatus::Active);
        assert_eq!(owed(&backend, &topic("t"), &group("ordered")).await, []);
        backend.publish(&topic("t"), messages(1)).await.unwrap();
        for (name, count) in [("ordered", 1), ("unordered", 2)] {
            let drained = drain(&backend, &topic("t"), &group(name)).await;
            assert_eq!(drained.len(), count, "{mode}: {name}");
        }
    }
}

/// Without cursors a subscription catches up only with what came after it.
#[tokio::test]
async fn m1_down_refuses_while_a_group_lacks_messages_from_before_its_subscription() {
    let database = migrated().await;
    let migrator = Migrator::new(database.url());
    let backend = open(&database).await;
    topic_with_group(&backend, "t").await;
    backend.publish(&topic("t"), messages(2)).await.unwrap();
    drain(&backend, &topic("t"), &group("g")).await;
    let client = connect(database.url()).await;
    client
        .batch_execute(
            "BEGIN; SELECT fanout.publish('t', ARRAY['open'::bytea]); PREPARE TRANSACTION 'p'",
        )
        .await
        .unwrap();
    let from_beginning = Subscribe {
        start: StartPosition::FromBeginning,
        options: Default::default(),
    };
    backend
        .subscribe(&topic("t"), &group("late"), from_beginning)
        .await
        .unwrap();
    client.batch_execute("ROLLBACK PREPARED 'p'").await.unwrap();
    let refused = migrator.down(1, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldLoseMessages);
    assert!(refused.message().contains("catching_up=`1`"), "{refused}");
    backend.maintain().await.unwrap();
    assert_eq!(migrator.down(1, false).await.unwrap(), NAMES[2..]);
    assert_eq!(migrator.up().await.unwrap(), NAMES[2..]);
    let drained = drain(&backend, &topic("t"), &group("late")).await;
    assert_eq!(payloads(&drained), ["message 0", "message 1"]);
}

/// A transaction of a caller's has settled it, so nobody owes it.
#[tokio::test]
async fn m1_what_callers_transactions_have_settled_stays_settled() {
    use fanout_core::Transactional;
    let database = migrated().await;
    let migrator = Migrator::new(database.url());
    let client = connect(database.url()).await;
    let backend = open(&database).await;
    for (mode, name) in MODES.into_iter().zip(["r", "o"]) {
        backend
            .create_topic(&topic(name), in_mode(mode))
            .await
            .unwrap();
        backend
            .subscribe_from_now(&topic(name), &group("g"))
            .await
            .unwrap();
        backend.publish(&topic(name), messages(2)).await.unwrap();
        let member = backend.join_group(&topic(name), &group("g")).await.unwrap();
        let deliveries = take(&*member, 2).await;
        let mut tx = backend.begin().await.unwrap();
        let receipts: Vec<_> = deliveries.iter().map(|d| d.receipt).collect();
        backend.settle_in(tx.tx(), &receipts).await.unwrap();
        // One is parked, or waits for its next attempt, by the time of the commit.
        member.fail(&deliveries[0], "no").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(owed(&backend, &topic(name), &group("g")).await, []);
    }
    backend.close();
    assert_eq!(migrator.down(1, false).await.unwrap(), NAMES[2..]);
    assert_eq!(migrator.up().await.unwrap(), NAMES[2..]);
    client
        .execute(
            "UPDATE fanout.outbox_consumer_groups SET available_at = clock_timestamp()",
            &[],
        )
        .await
        .unwrap();
    let backend = open(&database).await;
    for name in ["r", "o"] {
        assert_eq!(
            owed(&backend, &topic(name), &group("g")).await,
            [],
            "{name}"
        );
        assert_eq!(drain(&backend, &topic(name), &group("g")).await, []);
    }
}

#[tokio::test]
async fn m1_down_refuses_while_a_queue_holds_what_nobody_handled_or_dead_letters_are_kept() {
    for mode in MODES {
        let database = migrated().await;
        let migrator = Migrator::new(database.url());
        let client = connect(database.url()).await;
        let backend = open(&database).await;
        let config = TopicConfig {
            completion_mode: mode,
            ..TopicConfig::queue()
        };
        backend.create_topic(&topic("q"), config).await.unwrap();
        backend.publish(&topic("q"), messages(1)).await.unwrap();
        let queue = backend.join_queue(&topic("q")).await.unwrap();
        for _ in 0..5 {
            client
                .execute(
                    "UPDATE fanout.outbox_consumer_groups SET available_at = clock_timestamp()",
                    &[],
                )
                .await
                .unwrap();
            // A fetch may be empty once, for the other way of reading.
            let mut fetched = Vec::new();
            for _ in 0..3 {
                fetched.extend(queue.fetch(1).await.unwrap().deliveries);
            }
            queue.fail(&fetched[0], "no").await.unwrap();
        }
        drop(queue);
        backend.close();
        let refused = migrator.down(2, false).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldLoseMessages);
        assert!(refused.message().contains("dead_letters=`1`"), "{refused}");
        migrator.down(2, true).await.unwrap();

        client
            .execute("SELECT fanout.publish('q', ARRAY['later'::bytea])", &[])
            .await
            .unwrap();
        let refused = migrator.down(1, false).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::WouldLoseMessages);
        assert!(refused.message().contains("messages=`1`"), "{refused}");
        assert_eq!(migrator.down(1, true).await.unwrap(), NAMES[..1]);
    }
}

#[tokio::test]
async fn m1_the_applications_own_ledger_is_untouched() {
    let database = TestDatabase::empty().await.unwrap();
    let client = connect(database.url()).await;
    client
        .batch_execute(
            "CREATE TABLE public.__diesel_schema_migrations (version text PRIMARY KEY, run_on timestamp);
             INSERT INTO public.__diesel_schema_migrations VALUES ('0001', now()), ('20240101', now())",
        )
        .await
        .unwrap();
    let migrator = Migrator::new(database.url());
    assert_eq!(
        migrator.up().await.unwrap(),
        NAMES,
        "a like version of the application hides nothing"
    );
    migrator.down(NAMES.len(), false).await.unwrap();
    let left = "SELECT count(*) FROM public.__diesel_schema_migrations";
    assert_eq!(value::<i64>(&client, left).await, 2);
}

#[tokio::test]
async fn m1_concurrent_migrators_do_not_trip_over_each_other() {
    let database = TestDatabase::empty().await.unwrap();
    let migrator = Migrator::new(database.url());
    let (a, b, c) = tokio::join!(migrator.up(), migrator.up(), migrator.up());
    let mut applied: Vec<_> = [a.unwrap(), b.unwrap(), c.unwrap()].concat();
    applied.sort();
    assert_eq!(applied, NAMES, "each was applied by exactly one");
}

#[tokio::test]
async fn a_missing_an_older_and_a_newer_schema_are_told_apart() {
    let database = TestDatabase::empty().await.unwrap();
    let migrator = Migrator::new(database.url());
    let refusal = async || {
        let error = PostgresBackend::connect(database.url()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SchemaMismatch);
        let rebase = migrator.rebase().await.unwrap_err();
        assert_eq!(rebase.kind(), ErrorKind::SchemaMismatch);
        assert_eq!(rebase.message(), error.message());
        error.to_string()
    };
    assert!(refusal().await.contains("no fanout schema"));
    migrator.up().await.unwrap();
    for missing in ["0011", "0010"] {
        migrator.down(1, false).await.unwrap();
        let why = format!("older than this library missing_migration=`{missing}`");
        assert!(refusal().await.contains(&why));
    }
    migrator.up().await.unwrap();
    let client = connect(database.url()).await;
    client
        .execute(
            "INSERT INTO fanout.__diesel_schema_migrations VALUES ('9999')",
            &[],
        )
        .await
        .unwrap();
    assert!(refusal().await.contains("newer than this library"));
    assert_eq!(
        migrator.up().await.unwrap_err().kind(),
        ErrorKind::SchemaMismatch
    );
    assert!(
        migrator
            .status()
            .await
            .unwrap()
            .iter()
            .any(|m| m.version == "9999" && m.applied)
    );
}
