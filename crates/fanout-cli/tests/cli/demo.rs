//! `fanout demo`.

use std::io::BufRead;

use serde_json::Value;

use crate::support::{Database, Ran, Running, command, run};

#[test]
fn on_memory_it_proves_its_accounting() {
    let text = run(&["demo", "--messages", "3000", "--payload", "64"]).ok();
    for part in [
        "memory engine",
        "committed 3,000 of 3,000",
        "fast",
        "slow",
        "flaky",
        "crashing",
        "settled twice",
        "the accounting adds up",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[track_caller]
fn adds_up(ran: Ran, messages: u64) {
    let lines = ran.json();
    let (summary, groups) = lines.split_last().unwrap();
    assert_eq!(summary["adds_up"], true, "{summary}");
    assert_eq!(summary["published"], messages);
    for group in groups {
        let count = |name: &str| group[name].as_u64().unwrap();
        assert_eq!(count("done") + count("dead_lettered"), messages, "{group}");
        for name in ["pending", "missing", "settled_twice", "rolled_back_seen"] {
            assert_eq!(count(name), 0, "{group}");
        }
    }
}

#[test]
fn more_groups_than_behaviours_and_few_messages_add_up_too() {
    let ran = run(&[
        "demo",
        "--json",
        "--messages",
        "7",
        "--groups",
        "9",
        "--workers",
        "1",
        "--payload",
        "0",
        "--rate",
        "100",
        "--seed",
        "5",
    ]);
    adds_up(ran, 7);
}

#[test]
fn it_fails_crashes_and_rolls_back_for_real() {
    let lines = run(&["demo", "--json", "--messages", "5000"]).json();
    let group = |name: &str| -> &Value {
        let found = lines.iter().find(|line| line["group"] == name);
        found.unwrap()
    };
    assert!(group("flaky")["dead_lettered"].as_u64() > Some(0));
    assert!(group("flaky")["redelivered"].as_u64() > Some(0));
    assert!(group("crashing")["redelivered"].as_u64() > Some(0));
    assert_eq!(group("fast")["redelivered"], 0);
    assert!(lines.last().unwrap()["rolled_back"].as_u64() > Some(0));
}

#[test]
fn ctrl_c_ends_it_orderly() {
    let args = ["demo", "--messages", "1000000", "--rate", "1"];
    let mut running = Running::start(&mut command(&args));
    let mut output = running.stdout();
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.contains("1,000,000 messages"), "{line}");
    running.interrupt();
    running.finish().fails(130, &["interrupted"]);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut running = Running::start(&mut command(&["demo", "--messages", "1000"]));
    drop(running.stdout());
    running.finish().ok();
}

#[tokio::test]
async fn on_a_database_it_leaves_no_topic_behind() {
    let database = Database::migrated().await;
    let args = ["demo", "--json", "--messages", "1000"];
    adds_up(database.run_args(&args), 1_000);
    // The URL on the command line counts as well.
    let url = ["--database-url", database.url()];
    adds_up(run(&[&args[..], &url].concat()), 1_000);
    assert_eq!(database.run("topic list --json").json(), [] as [Value; 0]);
}

#[tokio::test]
async fn without_a_schema_it_says_what_to_do() {
    let database = Database::empty().await;
    database.run("demo").fails(8, &["fanout migrate up"]);
}

#[test]
fn on_a_throwaway_cluster_it_needs_nothing() {
    adds_up(
        run(&["demo", "--postgres", "--json", "--messages", "500"]),
        500,
    );
}
