//! `fanout consume`, `fanout dead-letters` and `fanout maintain`.

use std::io::BufRead;

use fanout::{BackendExt, GroupName, MemberExt, Outcome, PostgresBackend, TopicName};
use serde_json::json;

use crate::support::{Database, Running};

#[tokio::test]
async fn each_message_is_printed_and_settled_once() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("subscription subscribe t g").ok();
    database
        .run_args(&["publish", "t", "plain", "a\tb\nc\u{1b}[2J"])
        .ok();
    database.run("publish t keyed --key k").ok();
    let printed = database.run("consume t g --once --batch 2").ok();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 3, "{printed:?}");
    let fields: Vec<Vec<_>> = lines
        .iter()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(fields[0][1..], ["-", "plain"]);
    assert_eq!(fields[1][1..], ["-", r"a\tb\nc\u{1b}[2J"]);
    assert_eq!(fields[2][1..], ["k", "keyed"]);
    assert_eq!(database.run("consume t g --once").ok(), "");
}

#[tokio::test]
async fn at_most_so_many_and_the_rest_stays() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("subscription subscribe t g").ok();
    database.run("publish t 1 2 3 4 5").ok();
    assert_eq!(database.run("consume t g --max 2 --json").json().len(), 2);
    let stats = database.run("subscription stats t --json").json();
    assert_eq!(stats[0]["pending"], 3);
    assert_eq!(stats[0]["in_flight"], 0, "nothing more was fetched");
    assert_eq!(
        database
            .run("consume t g --max 3 --batch 1 --json")
            .json()
            .len(),
        3
    );
}

#[tokio::test]
async fn a_queue_names_no_group() {
    let database = Database::migrated().await;
    database.run("topic create q --queue").ok();
    database.run("publish q a").ok();
    database.run("consume q g --once").fails(3, &[]);
    assert_eq!(database.run("consume q --once --json").json().len(), 1);
    database.run("topic create t").ok();
    database.run("consume t --once").fails(3, &[]);
    database.run("consume t g --once").fails(4, &["subscribe"]);
}

#[tokio::test]
async fn it_goes_on_until_it_is_interrupted() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    let args = ["consume", "t", "g", "--subscribe", "--json"];
    let mut running = Running::start(&mut database.command(&args));
    let mut stdout = running.stdout();
    // It is subscribed from now on, whenever that is.
    let subscribed = || database.run("subscription get t g").code == 0;
    assert!((0..1_000).any(|_| subscribed()), "it does not subscribe");
    for payload in ["one", "two"] {
        database.run(&format!("publish t {payload}")).ok();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert!(line.contains(payload), "{line}");
    }
    running.interrupt();
    running.finish().ok();
    let stats = database.run("subscription stats t --json").json();
    assert_eq!(stats[0]["pending"], 0);
}

#[tokio::test]
async fn a_message_that_nobody_read_is_not_settled() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("subscription subscribe t g").ok();
    database.run("publish t a").ok();
    let mut command = database.command(&["consume", "t", "g", "--once"]);
    let mut running = Running::start(&mut command);
    drop(running.stdout());
    running.finish().ok();
    assert_eq!(database.run("consume t g --once --json").json().len(), 1);
}

#[tokio::test]
async fn an_ended_subscription_ends_it() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("subscription subscribe t g").ok();
    let running = Running::start(&mut database.command(&["consume", "t", "g"]));
    database.run("subscription cancel t g").ok();
    // It had joined, or not: the answer is the same.
    running.finish().fails(5, &["subscribe the group again"]);
}

#[tokio::test]
async fn dead_letters_are_listed_with_why() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    assert_eq!(database.run("dead-letters t").ok(), "");
    database
        .run("subscription subscribe t g --max-attempts 1")
        .ok();
    database.run("publish t bad --key k").ok();
    let backend = PostgresBackend::connect(database.url()).await.unwrap();
    let (topic, group) = (TopicName::new("t").unwrap(), GroupName::new("g").unwrap());
    let member = backend.join_group(&topic, &group).await.unwrap();
    let fetched = member.fetch(1).await.unwrap();
    let outcome = member.fail(&fetched.deliveries[0], "no\nway").await;
    assert_eq!(outcome.unwrap(), Outcome::DeadLettered);

    let letters = database.run("dead-letters t g --json").json();
    assert_eq!(letters.len(), 1);
    for (name, value) in [
        ("group", json!("g")),
        ("key", json!("k")),
        ("payload", json!("bad")),
        ("attempts", json!(1)),
        ("reason", json!("attempts-exhausted")),
        ("last_error", json!("no\nway")),
    ] {
        assert_eq!(letters[0][name], value, "{name}");
    }
    let text = database.run("dead-letters t").ok();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.contains(r"no\nway"), "{text}");
    assert!(
        database
            .run("dead-letters t other --json")
            .json()
            .is_empty()
    );
}

#[tokio::test]
async fn maintenance_runs_once_or_until_it_is_interrupted() {
    let database = Database::migrated().await;
    let report = database.run("maintain --once --json").json();
    for count in ["settlements_folded", "ticks_taken", "watermarks_moved"] {
        assert!(report[0][count].is_u64(), "{count}");
    }
    let mut running = Running::start(&mut database.command(&["maintain", "--interval", "10ms"]));
    let mut stdout = running.stdout();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "maintaining every 10ms until interrupted\n");
    running.interrupt();
    running.finish().ok();
    let report = std::io::read_to_string(stdout).unwrap();
    let rounds = report.lines().next().unwrap().split_whitespace();
    let rounds: Vec<_> = rounds.collect();
    assert!(rounds[0] == "rounds" && rounds[1] != "0", "{report}");
}
