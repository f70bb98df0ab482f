//! `fanout publish`, read back by `fanout consume`.

use std::fs;
use std::io::{BufRead, Write};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Database, Running};

async fn with_group() -> Database {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("subscription subscribe t g").ok();
    database
}

fn payloads(database: &Database) -> Vec<Value> {
    let consumed = database.run("consume t g --once --json").json();
    consumed
        .into_iter()
        .map(|mut message| message["payload"].take())
        .collect()
}

/// A file that goes with the test.
struct File(std::path::PathBuf);

impl File {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("fanout-cli-{}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn arguments_with_key_and_headers() {
    let database = with_group().await;
    let printed = database
        .run_args(&[
            "publish",
            "t",
            "one",
            "two words",
            "",
            "--key",
            "k",
            "--header",
            "a=1",
            "--header",
            "b=x=y",
        ])
        .ok();
    assert!(
        printed.starts_with("published 3 messages, ids "),
        "{printed}"
    );
    let consumed = database.run("consume t g --once --json").json();
    assert_eq!(consumed.len(), 3);
    assert_eq!(consumed[1]["payload"], "two words");
    assert_eq!(consumed[1]["encoding"], "utf-8");
    assert_eq!(consumed[1]["key"], "k");
    assert_eq!(consumed[1]["headers"], json!({"a": "1", "b": "x=y"}));
    assert_eq!(consumed[1]["topic"], "t");
    assert_eq!(consumed[1]["attempt"], 1);
    assert_eq!(consumed[2]["payload"], "");
}

#[tokio::test]
async fn a_file_as_one_message_or_by_lines() {
    let database = with_group().await;
    let file = File::new("lines", b"first\nsecond\n\nlast");
    database
        .run(&format!("publish t --file {}", file.path()))
        .ok();
    assert_eq!(payloads(&database), ["first\nsecond\n\nlast"]);
    database
        .run(&format!(
            "publish t --lines --file {} --batch 2",
            file.path()
        ))
        .ok();
    assert_eq!(payloads(&database), ["first", "second", "", "last"]);
    let bytes = File::new("bytes", &[0xff, 0x00, 0xfe]);
    database
        .run(&format!("publish t --file {}", bytes.path()))
        .ok();
    let consumed = database.run("consume t g --once --json").json();
    assert_eq!(consumed[0]["payload"], "/wD+");
    assert_eq!(consumed[0]["encoding"], "base64");
}

#[tokio::test]
async fn standard_input_by_lines_or_as_one_message() {
    let database = with_group().await;
    let lines: String = (0..1_234).map(|n| format!("{n}\n")).collect();
    let printed = database.run_with_input("publish t", lines.as_bytes()).ok();
    assert!(printed.starts_with("published 1234 messages"), "{printed}");
    let mut numbers: Vec<usize> = payloads(&database)
        .iter()
        .map(|payload| payload.as_str().unwrap().parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1_234).collect::<Vec<_>>());
    database
        .run_with_input("publish t --file -", b"a\nb\n")
        .ok();
    assert_eq!(payloads(&database), ["a\nb\n"]);
    assert!(database.run("publish t").ok().contains("nothing"));
}

#[tokio::test]
async fn lines_that_trickle_in_are_published_as_they_come() {
    let database = with_group().await;
    let mut command = database.command(&["publish", "t", "--json"]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    let (mut stdin, mut stdout) = (running.stdin(), running.stdout());
    for payload in ["one", "two"] {
        writeln!(stdin, "{payload}").unwrap();
        // Standard input is still open.
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let printed: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(printed["ids"].as_array().unwrap().len(), 1);
    }
    drop(stdin);
    running.finish().ok();
    assert_eq!(payloads(&database), ["one", "two"]);
}

#[tokio::test]
async fn refusals_publish_nothing() {
    let database = with_group().await;
    database.run("publish nope a").fails(4, &["nope"]);
    database
        .run("publish t --file /does/not/exist")
        .fails(1, &["/does/not/exist"]);
    let key = "k".repeat(1_025);
    database
        .run(&format!("publish t a --key {key}"))
        .fails(3, &["limit=`1024`"]);
    let large = File::new("large", &vec![b'x'; (16 << 20) + 1]);
    database
        .run(&format!("publish t --file {}", large.path()))
        .fails(3, &["payload is too large"]);
    database
        .run("topic create closed --block-writes-on-zero-subscriptions")
        .ok();
    database
        .run("publish closed a")
        .fails(5, &["subscribe a group"]);
    assert!(payloads(&database).is_empty());
}

#[tokio::test]
async fn what_was_published_before_a_failure_is_told() {
    let database = with_group().await;
    let mut input = b"one\ntwo\n".to_vec();
    input.extend(vec![b'x'; (16 << 20) + 10]);
    let ran = database.run_with_input("publish t --batch 2", &input);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("published=2"), "{ran:?}");
    assert_eq!(payloads(&database), ["one", "two"]);
}
