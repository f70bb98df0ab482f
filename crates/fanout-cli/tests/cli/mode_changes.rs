//! `fanout topic migrate`.

use std::io::BufRead;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Database, Running, run};

async fn with_backlog() -> Database {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("subscription subscribe t g").ok();
    database.run("publish t a b c").ok();
    database
}

fn mode(database: &Database) -> Value {
    database.run("topic get t --json").json()[0]["completion_mode"].clone()
}

#[tokio::test]
async fn the_mode_changes_and_what_is_left_is_told() {
    let database = with_backlog().await;
    let told = database
        .run("topic migrate t --to offset-watermark --json")
        .json();
    let groups = json!([{ "group": "g", "status": "ACTIVE", "remaining": 3 }]);
    assert_eq!(
        told,
        [json!({
            "topic": "t", "completion_mode": "offset-watermark", "changed": true,
            "remaining": 3, "done": false, "groups": groups,
        })]
    );
    assert_eq!(mode(&database), "offset-watermark");
    let again = database
        .run("topic migrate t --to offset-watermark --json")
        .json();
    assert_eq!(again[0]["changed"], false, "it says that nothing changed");
    let text = database.run("topic migrate t --to offset-watermark").ok();
    assert!(
        text.contains("already") && text.contains("3 left of reference-counting, g 3"),
        "{text}"
    );
    let back = database.run("topic migrate t --to reference-counting").ok();
    assert!(back.contains("0 left of offset-watermark"), "{back}");
    assert_eq!(mode(&database), "reference-counting");
}

#[tokio::test]
async fn waiting_ends_when_nothing_is_left() {
    let database = with_backlog().await;
    let args = "topic migrate t --to offset-watermark --wait";
    let args: Vec<_> = args.split_whitespace().collect();
    let mut waiting = Running::start(&mut database.command(&args));
    let mut lines = waiting.stdout().lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("from now on"));
    assert_eq!(
        lines.next().unwrap(),
        "3 left of reference-counting, g 3",
        "plain lines where there is no terminal"
    );
    database.run("publish t d").ok();
    database.run("consume t g --once").ok();
    let rest: Vec<_> = lines.collect();
    assert_eq!(
        rest.last().unwrap(),
        "done: nothing that has committed is left of reference-counting"
    );
    assert!(
        rest.iter()
            .any(|line| line == "0 left of reference-counting")
    );
    waiting.finish().ok();

    let done = database.run("topic migrate t --to offset-watermark --wait --json");
    let done = done.json();
    assert_eq!(done.len(), 1, "with nothing left it does not wait");
    assert_eq!(done[0]["done"], true);
}

#[tokio::test]
async fn an_interrupt_ends_the_waiting_and_nothing_else() {
    let database = with_backlog().await;
    database.run("subscription pause t g").ok();
    let args = "topic migrate t --to offset-watermark --wait --json";
    let args: Vec<_> = args.split_whitespace().collect();
    let mut waiting = Running::start(&mut database.command(&args));
    let first = waiting.stdout().lines().next().unwrap().unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["groups"][0]["status"], "PAUSED");
    waiting.interrupt();
    let ran = waiting.finish();
    assert_eq!(ran.code, 130, "{ran:?}");
    assert!(ran.stderr.contains("paused groups keep"), "{ran:?}");
    assert!(ran.stderr.contains("stays in offset-watermark"), "{ran:?}");
    assert_eq!(mode(&database), "offset-watermark");
}

#[tokio::test]
async fn whoever_waits_hears_that_the_topic_was_moved_back_or_deleted() {
    let args = "topic migrate t --to offset-watermark --wait";
    let args: Vec<_> = args.split_whitespace().collect();
    for (other, code, part) in [
        (
            "topic migrate t --to reference-counting",
            5,
            "moved the topic back",
        ),
        ("topic delete t --force", 4, "topic=`t`"),
    ] {
        let database = with_backlog().await;
        let mut waiting = Running::start(&mut database.command(&args));
        let mut lines = waiting.stdout().lines();
        lines.next().unwrap().unwrap();
        lines.next().unwrap().unwrap();
        database.run(other).ok();
        waiting.finish().fails(code, &[part]);
    }
}

#[tokio::test]
async fn whoever_reads_may_leave() {
    let database = with_backlog().await;
    let args = "topic migrate t --to offset-watermark --wait";
    let args: Vec<_> = args.split_whitespace().collect();
    let mut waiting = Running::start(database.command(&args).stdout(Stdio::piped()));
    let mut reader = waiting.stdout();
    for _ in 0..2 {
        reader.read_line(&mut String::new()).unwrap();
    }
    drop(reader);
    database.run("consume t g --once").ok();
    let ran = waiting.finish();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
}

#[tokio::test]
async fn wrong_calls_say_so() {
    let database = Database::migrated().await;
    database
        .run("topic migrate t --to offset-watermark")
        .fails(4, &["topic=`t`", "create"]);
    run(&["topic", "migrate", "t", "--to", "sideways"]).fails(3, &["sideways"]);
    run(&["topic", "migrate", "t"]).fails(2, &["--to"]);
}
