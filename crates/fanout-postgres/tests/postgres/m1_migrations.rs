//! M1: every migration up and down, empty and on data.

use fanout_core::{Backend, BackendExt, ErrorKind, MemberExt, TopicConfig};
use fanout_postgres::{Migrator, PostgresBackend};
use fanout_testpg::TestDatabase;

use crate::support::{connect, group, messages, migrated, open, topic, topic_with_group, value};

const NAMES: [&str; 2] = ["0001_base_queue", "0010_fan_out"];

/// What is left in the schema besides diesel's ledger.
const LEFT: &str = "SELECT count(*) FROM (
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'fanout' AND c.relname NOT LIKE '%diesel_schema_migrations%'
    UNION ALL
    SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'fanout') AS everything";

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

#[tokio::test]
async fn m1_each_step_can_be_repeated_alone_on_settled_data() {
    let database = migrated().await;
    let migrator = Migrator::new(database.url());
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "t").await;
    backend.publish(&topic("t"), messages(5)).await.unwrap();
    let fetched = member.fetch(5).await.unwrap();
    member.done_all(&fetched.deliveries).await.unwrap();
    backend
        .create_topic(&topic("q"), TopicConfig::queue())
        .await
        .unwrap();
    backend.publish(&topic("q"), messages(2)).await.unwrap();
    let queue = backend.join_queue(&topic("q")).await.unwrap();
    let fetched = queue.fetch(2).await.unwrap();
    queue.done_all(&fetched.deliveries).await.unwrap();
    drop((member, queue));
    backend.close();

    assert_eq!(migrator.down(1, false).await.unwrap(), ["0010_fan_out"]);
    let client = connect(database.url()).await;
    assert_eq!(
        value::<i64>(&client, "SELECT count(*) FROM fanout.outbox").await,
        7,
        "the log stays"
    );
    // A service that publishes by the function alone goes on meanwhile.
    client
        .execute(
            "SELECT fanout.publish('q', ARRAY['while down'::bytea])",
            &[],
        )
        .await
        .unwrap();
    client
        .execute(
            "SELECT fanout.publish('t', ARRAY['while down'::bytea])",
            &[],
        )
        .await
        .unwrap();

    assert_eq!(migrator.up().await.unwrap(), ["0010_fan_out"]);
    let backend = open(&database).await;
    let queue = backend.join_queue(&topic("q")).await.unwrap();
    let fetched = queue.fetch(10).await.unwrap().deliveries;
    let payloads: Vec<_> = fetched.iter().map(|d| d.message.payload.as_ref()).collect();
    assert_eq!(
        payloads,
        [b"while down"],
        "what was settled is not delivered again, what came since is"
    );
    queue.done(&fetched[0]).await.unwrap();
    backend
        .subscribe_from_now(&topic("t"), &group("g"))
        .await
        .unwrap();
    backend.publish(&topic("t"), messages(1)).await.unwrap();
    let member = backend.join_group(&topic("t"), &group("g")).await.unwrap();
    let delivered = member.fetch(10).await.unwrap().deliveries;
    assert_eq!(delivered.len(), 1, "pub/sub works again, from now on");
    member.done(&delivered[0]).await.unwrap();
    backend.close();

    assert_eq!(
        migrator.down(2, false).await.unwrap(),
        ["0010_fan_out", "0001_base_queue"]
    );
    assert_eq!(value::<i64>(&client, LEFT).await, 0);
    assert_eq!(migrator.up().await.unwrap(), NAMES);
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

    let refused = migrator.down(1, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldLoseMessages);
    assert!(refused.message().contains("unsettled=`2`"), "{refused}");
    let backend = open(&database).await;
    assert_eq!(
        backend.stats(&topic("t")).await.unwrap()[0].pending,
        2,
        "nothing was lost"
    );
    backend.close();

    assert_eq!(migrator.down(1, true).await.unwrap(), ["0010_fan_out"]);
    assert_eq!(migrator.up().await.unwrap(), ["0010_fan_out"]);
}

#[tokio::test]
async fn m1_down_refuses_while_a_queue_holds_what_nobody_handled_or_dead_letters_are_kept() {
    let database = migrated().await;
    let migrator = Migrator::new(database.url());
    let client = connect(database.url()).await;
    let backend = open(&database).await;
    backend
        .create_topic(&topic("q"), TopicConfig::queue())
        .await
        .unwrap();
    backend.publish(&topic("q"), messages(1)).await.unwrap();
    let queue = backend.join_queue(&topic("q")).await.unwrap();
    for _ in 0..5 {
        client
            .execute(
                "UPDATE fanout.outbox_consumer_groups SET available_at = NULL",
                &[],
            )
            .await
            .unwrap();
        let fetched = queue.fetch(1).await.unwrap().deliveries;
        queue.fail(&fetched[0], "no").await.unwrap();
    }
    drop(queue);
    backend.close();
    let refused = migrator.down(1, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldLoseMessages);
    assert!(refused.message().contains("dead_letters=`1`"), "{refused}");
    migrator.down(1, true).await.unwrap();

    client
        .execute("SELECT fanout.publish('q', ARRAY['later'::bytea])", &[])
        .await
        .unwrap();
    let refused = migrator.down(1, false).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldLoseMessages);
    assert!(refused.message().contains("messages=`1`"), "{refused}");
    assert_eq!(migrator.down(1, true).await.unwrap(), ["0001_base_queue"]);
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
    migrator.down(2, false).await.unwrap();
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
        error.to_string()
    };
    assert!(refusal().await.contains("no fanout schema"));
    migrator.up().await.unwrap();
    migrator.down(1, false).await.unwrap();
    assert!(
        refusal()
            .await
            .contains("older than this library missing_migration=`0010`")
    );
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
