//! `fanout migrate`.

use serde_json::Value;

use crate::support::Database;

fn applied(database: &Database) -> Vec<bool> {
    let status = database.run("migrate status --json").json();
    let applied = |line: &Value| line["applied"].as_bool().unwrap();
    status.iter().map(applied).collect()
}

#[tokio::test]
async fn goes_up_and_down_and_tells_where_it_stands() {
    let database = Database::empty().await;
    let none = applied(&database);
    assert!(!none.is_empty() && !none.contains(&true), "{none:?}");

    let up = database.run("migrate up --json").json();
    assert_eq!(up[0]["applied"].as_array().unwrap().len(), none.len());
    assert!(!applied(&database).contains(&false));
    assert!(database.run("migrate up").ok().contains("up to date"));
    let text = database.run("migrate status").ok();
    assert_eq!(text.lines().count(), none.len() + 1, "{text}");

    let down = database.run("migrate down").ok();
    assert_eq!(down.lines().count(), 1, "one step by default: {down}");
    let one_less = applied(&database);
    assert_eq!(one_less.iter().filter(|applied| !**applied).count(), 1);
    let steps = none.len();
    database.run(&format!("migrate down --steps {steps}")).ok();
    assert_eq!(applied(&database), none);
    assert!(database.run("migrate down").ok().contains("nothing"));
    database.run("migrate up").ok();
}

#[tokio::test]
async fn a_down_that_would_lose_messages_is_refused_unless_forced() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("subscription subscribe t g").ok();
    database.run("publish t a b c").ok();
    database.run("migrate down --steps 99").fails(5, &["force"]);
    assert!(!applied(&database).contains(&false), "nothing was reverted");
    database.run("migrate down --steps 99 --force").ok();
    assert!(!applied(&database).contains(&true));
}

#[tokio::test]
async fn without_a_schema_every_command_says_what_to_do() {
    let database = Database::empty().await;
    for command in [
        "topic list",
        "topic create t",
        "subscription stats t",
        "publish t a",
        "consume t g --once",
        "dead-letters t",
        "maintain --once",
    ] {
        database.run(command).fails(8, &["fanout migrate up"]);
    }
}
