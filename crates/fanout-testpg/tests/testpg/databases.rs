use std::{panic::AssertUnwindSafe, sync::atomic::Ordering};

use fanout_testpg::{Template, TestDatabase};
use tokio::task::JoinSet;

use crate::template::{MIGRATED, TEMPLATE, connect, things};

async fn create() -> TestDatabase {
    TestDatabase::create(&TEMPLATE).await.unwrap()
}

/// Whether the server of `witness` has a database of that name.
async fn exists(witness: &TestDatabase, name: &str) -> bool {
    let sql = "SELECT count(*) FROM pg_database WHERE datname = $1";
    let row = connect(witness.url())
        .await
        .query_one(sql, &[&name])
        .await
        .unwrap();
    row.get::<_, i64>(0) == 1
}

#[tokio::test]
async fn copies_are_apart() {
    let (one, other) = (create().await, create().await);
    let insert = "INSERT INTO thing SELECT generate_series(1, 5)";
    connect(one.url())
        .await
        .batch_execute(insert)
        .await
        .unwrap();
    assert_eq!(things(one.url()).await, Some(5));
    assert_eq!(things(other.url()).await, Some(0));
    assert_eq!(things(create().await.url()).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_share_one_migration() {
    let mut tests = JoinSet::new();
    for _ in 0..12 {
        tests.spawn(async { things(create().await.url()).await });
    }
    while let Some(counted) = tests.join_next().await {
        assert_eq!(counted.unwrap(), Some(0));
    }
    // None if another process of the run did it.
    assert!(MIGRATED.load(Ordering::Relaxed) <= 1);
}

#[tokio::test]
async fn an_empty_one_has_no_tables() {
    let empty = TestDatabase::empty().await.unwrap();
    assert_eq!(things(empty.url()).await, None);
}

#[tokio::test]
async fn drop_removes_it_under_a_client() {
    let (witness, database) = (create().await, create().await);
    let name = database.name().to_owned();
    let client = connect(database.url()).await;
    assert!(exists(&witness, &name).await);
    drop(database);
    assert!(!exists(&witness, &name).await);
    assert!(client.batch_execute("SELECT 1").await.is_err());
}

#[tokio::test]
async fn drop_removes_it_with_prepared_transactions() {
    let (witness, database) = (create().await, create().await);
    let name = database.name().to_owned();
    let client = connect(database.url()).await;
    let max = client
        .query_one("SHOW max_prepared_transactions", &[])
        .await
        .unwrap();
    if max.get::<_, &str>(0) == "0" {
        // A given server, which was set up without them.
        return;
    }
    let sql = format!("BEGIN; INSERT INTO thing VALUES (1); PREPARE TRANSACTION '{name}''s'");
    client.batch_execute(&sql).await.unwrap();
    drop(database);
    assert!(!exists(&witness, &name).await);
}

#[tokio::test]
async fn a_panic_removes_it() {
    let (witness, database) = (create().await, create().await);
    let name = database.name().to_owned();
    let unwound = std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _database = database;
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(unwound.is_err());
    assert!(!exists(&witness, &name).await);
}

#[tokio::test]
async fn a_failed_migration_is_told_and_tried_again() {
    let failing = Template::new("failing", "1", |_| async { Err::<(), _>("no such luck") });
    for _ in 0..2 {
        let error = TestDatabase::create(&failing)
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(error, "could not migrate template `failing`: no such luck");
    }
}
