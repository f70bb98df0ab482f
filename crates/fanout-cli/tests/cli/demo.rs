//! `fanout demo`.

use std::io::BufRead;

use serde_json::Value;

use crate::support::{Database, Ran, Running, command, run};

#[test]
fn on_memory_it_proves_its_accounting() {
    let text = run(&["demo", "--messages", "3000", "--payload", "64"]).ok();
    for part in [
        "memory engine",
        "4 groups, reference-counting",
        "18 groups, offset-watermark",
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

/// Of each mode: so many groups, and a summary.
#[track_caller]
fn adds_up(ran: Ran, messages: u64, modes: &[(&str, usize)]) {
    let mut lines = ran.json().into_iter();
    for (mode, groups) in modes {
        for group in lines.by_ref().take(*groups) {
            assert_eq!(group["mode"], *mode);
            let count = |name: &str| group[name].as_u64().unwrap();
            assert_eq!(count("done") + count("dead_lettered"), messages, "{group}");
            for name in ["pending", "missing", "settled_twice", "rolled_back_seen"] {
                assert_eq!(count(name), 0, "{group}");
            }
        }
        let summary = lines.next().unwrap();
        assert_eq!(summary["mode"], *mode);
        for name in ["adds_up", "log_is_complete", "settled_to_the_end"] {
            assert_eq!(summary[name], true, "{summary}");
        }
        assert_eq!(summary["published"], messages);
        assert!(summary["watermark"].as_u64() >= Some(messages), "{summary}");
    }
    assert_eq!(lines.next(), None);
}

const COUNTING: &str = "reference-counting";
const CURSORS: &str = "offset-watermark";

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
    adds_up(ran, 7, &[(COUNTING, 9), (CURSORS, 9)]);
}

#[test]
fn it_fails_crashes_and_rolls_back_for_real() {
    for mode in [COUNTING, CURSORS] {
        let args = ["demo", "--json", "--messages", "5000", "--groups", "4"];
        let lines = run(&[&args[..], &["--mode", mode]].concat()).json();
        assert_eq!(lines.len(), 5);
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
    let both = [(COUNTING, 4), (CURSORS, 18)];
    adds_up(database.run_args(&args), 1_000, &both);
    // The URL on the command line counts as well.
    let of_command = [
        "--database-url",
        database.url(),
        "--mode",
        CURSORS,
        "--groups",
        "5",
    ];
    let ran = run(&[&args[..], &of_command].concat());
    adds_up(ran, 1_000, &[(CURSORS, 5)]);
    assert_eq!(database.run("topic list --json").json(), [] as [Value; 0]);
}

#[tokio::test]
async fn without_a_schema_it_says_what_to_do() {
    let database = Database::empty().await;
    database.run("demo").fails(8, &["fanout migrate up"]);
}

#[test]
fn on_a_throwaway_cluster_it_needs_nothing() {
    let ran = run(&["demo", "--postgres", "--json", "--messages", "500"]);
    adds_up(ran, 500, &[(COUNTING, 4), (CURSORS, 18)]);
}
