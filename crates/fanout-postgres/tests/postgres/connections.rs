//! Connections, cached statements, and calls that are dropped half way.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use fanout_core::{
    Backend, Error, ErrorKind, MemberExt, OpenTx, TopicConfig, Transactional, TransactionalExt,
};
use fanout_postgres::PostgresBackend;

use crate::support::{connect, group, messages, migrated, open, topic, topic_with_group, value};

#[tokio::test]
async fn two_topics_on_one_connection_do_not_mix_up_their_statements() {
    let database = migrated().await;
    let backend = PostgresBackend::builder(database.url())
        .pool_size(1)
        .connect()
        .await
        .unwrap();
    let a = topic_with_group(&backend, "a").await;
    let b = topic_with_group(&backend, "b").await;
    for round in 0..8 {
        backend.publish(&topic("a"), messages(2)).await.unwrap();
        backend.publish(&topic("b"), messages(3)).await.unwrap();
        for (member, count, name) in [(&a, 2, "a"), (&b, 3, "b")] {
            let deliveries = member.fetch(10).await.unwrap().deliveries;
            assert_eq!(deliveries.len(), count, "round {round}");
            assert!(deliveries.iter().all(|d| d.message.topic == topic(name)));
            assert_eq!(member.done_all(&deliveries).await.unwrap(), count);
        }
    }
}

#[tokio::test]
async fn hot_calls_are_one_cached_statement_each() {
    let database = migrated().await;
    let backend = PostgresBackend::builder(database.url())
        .pool_size(1)
        .connect()
        .await
        .unwrap();
    let member = topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    let round = async || {
        backend.publish(&topic("t"), messages(2)).await.unwrap();
        let deliveries = member.fetch(2).await.unwrap().deliveries;
        member.done_all(&deliveries).await.unwrap();
    };
    round().await;
    let commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()";
    let parsed = statements_prepared(&backend).await;
    for _ in 0..5 {
        round().await;
    }
    assert_eq!(
        statements_prepared(&backend).await,
        parsed,
        "nothing is prepared twice"
    );
    assert!(value::<i64>(&client, commits).await > 0);
}

/// The statements that the pool's one connection holds.
async fn statements_prepared(backend: &PostgresBackend) -> i64 {
    use fanout_postgres::diesel_async::RunQueryDsl;
    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    backend
        .with_tx(async |tx| {
            let text = "SELECT count(*) AS count FROM pg_prepared_statements
                WHERE statement LIKE '%fanout.publish%' OR statement LIKE '%fanout.claim\\_%'
                OR statement LIKE '%fanout.settle\\_%'";
            let count: Count = diesel::sql_query(text)
                .get_result(tx)
                .await
                .expect("it can be read");
            Ok::<_, Error>(count.count)
        })
        .await
        .expect("the transaction commits")
}

/// Polls a future `times` times, letting the connection's task run in between, then drops it.
async fn cut_short(times: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    for _ in 0..times {
        let done =
            std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready()))
                .await;
        if done {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_future_leaves_no_open_transaction_in_the_pool() {
    let database = migrated().await;
    let backend = PostgresBackend::builder(database.url())
        .pool_size(2)
        .connect()
        .await
        .unwrap();
    let member = topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    for times in 1..40 {
        let name = topic(&format!("t{times}"));
        cut_short(times, backend.create_topic(&name, TopicConfig::default())).await;
        cut_short(
            times,
            backend.subscribe(&topic("t"), &group(name.as_str()), Default::default()),
        )
        .await;
        cut_short(times, backend.cancel(&topic("t"), &group(name.as_str()))).await;
        cut_short(
            times,
            backend.with_tx(async |tx| {
                backend.publish_in(tx, &topic("t"), messages(1)).await?;
                std::future::pending::<Result<(), Error>>().await
            }),
        )
        .await;
        cut_short(times, member.fetch(1)).await;
    }
    // A closed connection rolls back as soon as the server notices.
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND state LIKE 'idle in transaction%'";
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while value::<i64>(&client, open).await > 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "a transaction stays open"
        );
        tokio::task::yield_now().await;
    }
    let ids = backend.publish(&topic("t"), messages(1)).await.unwrap();
    let visible =
        "SELECT count(*) FROM fanout.outbox o JOIN fanout.outbox_topics t USING (topic_id)
        WHERE t.name = 't'";
    assert_eq!(
        value::<i64>(&client, visible).await,
        1,
        "what was cut short was rolled back"
    );
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn a_connection_that_dies_before_the_commit_is_never_ok() {
    let database = migrated().await;
    let backend = open(&database).await;
    topic_with_group(&backend, "t").await;
    let client = connect(database.url()).await;
    let mut open: Box<dyn OpenTx<Tx = _>> = backend.begin().await.unwrap();
    backend
        .publish_in(open.tx(), &topic("t"), messages(1))
        .await
        .unwrap();
    let killed = value::<i64>(
        &client,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND state = 'idle in transaction'",
    )
    .await;
    assert_eq!(killed, 1);
    let error = open.commit().await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Unknown | ErrorKind::Unavailable | ErrorKind::Database
        ),
        "{error:?}"
    );
    assert_eq!(
        backend.stats(&topic("t")).await.unwrap()[0].pending,
        0,
        "the pool recovers"
    );
}

#[tokio::test]
async fn a_transaction_that_failed_does_not_commit_silently() {
    let database = migrated().await;
    let backend = open(&database).await;
    let member = topic_with_group(&backend, "t").await;
    backend.publish(&topic("t"), messages(1)).await.unwrap();
    let delivery = member.fetch(1).await.unwrap().deliveries.remove(0);
    member.done(&delivery).await.unwrap();
    let mut open = backend.begin().await.unwrap();
    backend
        .publish_in(open.tx(), &topic("t"), messages(1))
        .await
        .unwrap();
    let refused = backend
        .settle_in(open.tx(), &[delivery.receipt])
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::StaleReceipt);
    let error = open
        .commit()
        .await
        .expect_err("Postgres answers COMMIT with ROLLBACK here");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(backend.stats(&topic("t")).await.unwrap()[0].pending, 0);
}

#[tokio::test]
async fn no_server_and_no_free_connection_are_told_apart() {
    let error = PostgresBackend::connect("postgres://nobody@127.0.0.1:1/none")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    assert!(
        error.to_string().to_lowercase().contains("refused"),
        "the reason is told: {error}"
    );
    for url in ["this is no url", "postgres://host:notaport/x"] {
        let error = PostgresBackend::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }

    let database = migrated().await;
    let backend = PostgresBackend::builder(database.url())
        .pool_size(1)
        .acquire_timeout(std::time::Duration::from_millis(50))
        .connect()
        .await
        .unwrap();
    let _held = backend.begin().await.unwrap();
    let error = backend.topics().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.message().contains("no connection"), "{error}");
    let error = PostgresBackend::builder(database.url())
        .pool_size(0)
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
