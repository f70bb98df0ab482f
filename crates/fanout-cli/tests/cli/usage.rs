//! Wrong usage, and which database is meant.

use crate::support::{Database, Running, command, run};

#[test]
fn wrong_usage_is_one_line_and_code_2() {
    for (args, part) in [
        (&[][..], "a command is missing"),
        (&["topic"], "a command is missing"),
        (&["topic", "creat"], "create"),
        (&["topic", "get"], "<TOPIC>"),
        (&["topic", "get", "a", "b"], "'b'"),
        (&["publish", "t", "--bogus"], "--bogus"),
        (&["publish", "t", "payload", "--file", "f"], "--file"),
        (&["consume", "t", "--subscribe"], "<GROUP>"),
        (&["topic", "list"], "--database-url"),
        (&["topic", "recommend"], "--groups"),
        (
            &[
                "topic",
                "create",
                "t",
                "--mode",
                "offset-watermark",
                "--expected-groups",
                "9",
            ],
            "--expected-groups",
        ),
        (&["subscription", "seek", "t", "g"], "--to"),
        (
            &["demo", "--postgres", "--database-url", "postgres://x"],
            "--postgres",
        ),
    ] {
        run(args).fails(2, &[part]);
    }
}

#[test]
fn invalid_values_are_one_line_and_code_3() {
    let long = "x".repeat(256);
    for (args, part) in [
        (&["topic", "get", ""][..], "empty"),
        (&["topic", "get", "a\nb"], "control character"),
        (&["topic", "get", &long], "255"),
        (&["subscription", "pause", "t", ""], "group name"),
        (&["topic", "create", "t", "--lanes", "many"], "--lanes"),
        (&["topic", "create", "t", "--semantics", "both"], "pub-sub"),
        (&["topic", "update", "t", "--max-retention", "30"], "1h30m"),
        (
            &["subscription", "subscribe", "t", "g", "--from", "then"],
            "beginning",
        ),
        (
            &["subscription", "seek", "t", "g", "--to", "message:x"],
            "message:ID",
        ),
        (
            &[
                "subscription",
                "seek",
                "t",
                "g",
                "--to",
                "timestamp:2026-01-31",
            ],
            "2026-01-31T08:15:30Z",
        ),
        (
            &["topic", "create", "t", "--mode", "both"],
            "offset-watermark",
        ),
        (&["topic", "recommend", "--groups", "some"], "--groups"),
        (&["publish", "t", "p", "--header", "h"], "name=value"),
        (&["publish", "t", "p", "--batch", "0"], "--batch"),
        (&["demo", "--groups", "0"], "--groups"),
    ] {
        run(args).fails(3, &[part]);
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let help = run(&["--help"]).ok();
    for part in ["demo", "publish", "Exit codes:", "FANOUT_DATABASE_URL"] {
        assert!(help.contains(part), "{part}");
    }
    for command in [
        "demo",
        "migrate",
        "topic",
        "subscription",
        "publish",
        "consume",
        "dead-letters",
        "maintain",
    ] {
        assert!(run(&[command, "--help"]).ok().contains("Usage:"));
    }
    assert!(run(&["--version"]).ok().starts_with("fanout "));
}

#[test]
fn an_unreachable_database_is_code_6_and_keeps_the_password() {
    let url = "postgres://user:secret@127.0.0.1:1/nothing";
    let ran = run(&["topic", "list", "--database-url", url]);
    assert!(!ran.stderr.contains("secret"), "{ran:?}");
    ran.fails(6, &["try again later"]);
}

#[tokio::test]
async fn the_option_comes_before_the_own_variable_and_that_before_the_common_one() {
    let database = Database::migrated().await;
    let (good, bad) = (database.url(), "postgres://127.0.0.1:1/nothing");
    let code = |option: Option<&str>, own: &str, common: &str| {
        let mut command = command(&["topic", "list"]);
        command.args(option.map(|url| format!("--database-url={url}")));
        command.env("FANOUT_DATABASE_URL", own);
        command.env("DATABASE_URL", common);
        Running::start(&mut command).finish().code
    };
    assert_eq!(code(Some(good), bad, bad), 0);
    assert_eq!(code(None, good, bad), 0);
    assert_eq!(code(None, "", good), 0);
    assert_ne!(code(None, bad, good), 0);
    assert_ne!(code(Some(bad), good, good), 0);
}
