//! `fanout rebase`.

use fanout::diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};

use crate::support::{Database, run};

/// Makes transaction ids what they would be after a restore from a cluster that has used many more.
const FROM_ELSEWHERE: &str = "
    UPDATE fanout.outbox SET tx = (tx::text::bigint + 1000000000)::text::xid8;
    UPDATE fanout.outbox_ticks SET snapshot = format('%1$s:%1$s:',
        pg_snapshot_xmax(snapshot)::text::bigint + 1000000000)::pg_snapshot
    WHERE tick > 0";

#[test]
fn it_asks_for_a_yes_first() {
    run(&["rebase"]).fails(2, &["--yes"]);
    run(&["rebase", "--yes"]).fails(2, &["--database-url"]);
}

#[tokio::test]
async fn a_restored_database_is_refused_before_it_and_goes_on_after_it() {
    let database = Database::migrated().await;
    for mode in ["reference-counting", "offset-watermark"] {
        database
            .run(&format!("topic create {mode} --mode {mode}"))
            .ok();
        database
            .run(&format!("subscription subscribe {mode} g"))
            .ok();
        database.run(&format!("publish {mode} a b c")).ok();
        database.run(&format!("consume {mode} g --max 1")).ok();
    }
    let rebased = database.run("rebase --yes --json").json();
    assert_eq!(rebased[0]["rebased"], 0, "nothing is wrong");
    let mut client = AsyncPgConnection::establish(database.url()).await.unwrap();
    client.batch_execute(FROM_ELSEWHERE).await.unwrap();
    database
        .run("publish offset-watermark d")
        .fails(8, &["restored", "fanout rebase"]);
    let rebased = database.run("rebase --yes --json").json();
    assert_eq!(rebased[0]["rebased"], 6, "all messages");
    for mode in ["reference-counting", "offset-watermark"] {
        database.run(&format!("publish {mode} d")).ok();
        let consumed = database.run(&format!("consume {mode} g --once --json"));
        let payloads: Vec<_> = consumed
            .json()
            .iter()
            .map(|message| message["payload"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(payloads.len(), 3, "{mode} {payloads:?}");
        assert_eq!(database.run(&format!("consume {mode} g --once")).ok(), "");
    }
}

#[tokio::test]
async fn without_a_schema_it_says_what_to_do() {
    let database = Database::empty().await;
    database
        .run("rebase --yes")
        .fails(8, &["fanout migrate up"]);
}
