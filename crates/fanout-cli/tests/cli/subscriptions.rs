//! `fanout subscription`.

use serde_json::json;

use crate::support::Database;

#[tokio::test]
async fn a_subscription_goes_through_its_life() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    let made = database
        .run(
            "subscription subscribe t g --json --lease 45s --max-attempts 7 --max-stalls 9 \
             --backoff-initial 200ms --backoff-max 2m --backoff-multiplier 3 --backoff-jitter 0.5 \
             --heartbeat-interval 5s --heartbeat-timeout 1m",
        )
        .json()
        .remove(0);
    for (name, value) in [
        ("topic", json!("t")),
        ("group", json!("g")),
        ("status", json!("ACTIVE")),
        ("start", json!("now")),
        ("lease", json!("45s")),
        ("max_attempts", json!(7)),
        ("max_stalls", json!(9)),
        ("backoff_initial", json!("200ms")),
        ("backoff_max", json!("2m")),
        ("backoff_multiplier", json!(3.0)),
        ("backoff_jitter", json!(0.5)),
        ("heartbeat_interval", json!("5s")),
        ("heartbeat_timeout", json!("1m")),
    ] {
        assert_eq!(made[name], value, "{name}");
    }
    let changed = database
        .run("subscription subscribe t g --json --lease 1m")
        .json()
        .remove(0);
    assert_eq!(changed["lease"], "1m");
    assert_eq!(changed["max_attempts"], 7, "what is not given stays");
    assert_eq!(changed["id"], made["id"]);

    let status = |command: &str| {
        let ran = database.run(&format!("subscription {command} t g --json"));
        ran.json()[0]["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status("pause"), "PAUSED");
    assert_eq!(status("heartbeat"), "PAUSED");
    assert_eq!(status("resume"), "ACTIVE");
    assert_eq!(status("cancel"), "CANCELLED");
    assert_eq!(status("get"), "CANCELLED");
    database
        .run("subscription pause t g")
        .fails(5, &["CANCELLED"]);
    database
        .run("subscription heartbeat t g")
        .fails(5, &["subscribe the group again"]);

    database.run("sub subscribe t g").ok();
    let listed = database.run("subscription list t --json").json();
    assert_eq!(listed.len(), 2, "cancelled ones are history");
    assert_eq!(listed[1]["lease"], "30s", "a new one has the defaults");
    assert_eq!(database.run("subscription list t").ok().lines().count(), 3);
}

#[tokio::test]
async fn stats_and_pending_count_what_is_owed() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("subscription subscribe t g").ok();
    database.run("subscription subscribe t h").ok();
    database.run("publish t a b c").ok();
    database.run("consume t h --once").ok();
    let stats = database.run("subscription stats t --json").json();
    assert_eq!(
        (&stats[0]["group"], &stats[0]["pending"]),
        (&json!("g"), &json!(3))
    );
    assert_eq!(
        (&stats[1]["group"], &stats[1]["pending"]),
        (&json!("h"), &json!(0))
    );
    assert_eq!(stats[1]["lag"], "0s");
    assert_eq!(database.run("subscription stats t").ok().lines().count(), 3);
    let pending = database.run("subscription pending t g --json").json();
    assert_eq!(pending.len(), 3);
    let first = pending[0]["id"].as_i64().unwrap();
    let after = format!("subscription pending t g --after {first} --limit 1 --json");
    assert_eq!(database.run(&after).json(), pending[1..2]);
    assert_eq!(database.run("subscription pending t h").ok(), "");
}

#[tokio::test]
async fn refusals_have_codes_of_their_own() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("topic create q --queue").ok();
    database
        .run("subscription subscribe nope g")
        .fails(4, &["nope"]);
    database
        .run("subscription get t g")
        .fails(4, &["subscribe"]);
    database.run("subscription pause t g").fails(4, &[]);
    database.run("subscription cancel q queue").fails(5, &[]);
    database.run("subscription subscribe q g").fails(3, &[]);
    database
        .run("subscription subscribe t g --lease 0s")
        .fails(3, &["lease"]);
    database
        .run("subscription subscribe t g --on-failure block")
        .fails(3, &["per-key"]);
    database
        .run("subscription seek t g --to now")
        .fails(4, &["t"]);
    database
        .run("subscription seek nope g --to now")
        .fails(4, &["nope"]);
    database.run("subscription subscribe t g").ok();
    database
        .run("subscription subscribe t g --ordering per-key")
        .fails(3, &["ordering"]);
    database.run("subscription cancel t g").ok();
    database
        .run("subscription seek t g --to beginning")
        .fails(5, &["CANCELLED"]);
}

/// Ids of the messages that a group owes.
fn pending(database: &Database, group: &str) -> Vec<i64> {
    let listed = database.run(&format!("subscription pending t {group} --json"));
    let id = |line: &serde_json::Value| line["id"].as_i64().unwrap();
    listed.json().iter().map(id).collect()
}

#[tokio::test]
async fn a_group_may_start_in_the_past() {
    let database = Database::migrated().await;
    for mode in ["reference-counting", "offset-watermark"] {
        database.run(&format!("topic create t --mode {mode}")).ok();
        database.run("subscription subscribe t first").ok();
        database.run("publish t a b c").ok();
        let ids = pending(&database, "first");
        database.run("consume t first --once").ok();
        let middle = format!("message:{}", ids[1]);
        for (group, from, owed) in [
            ("now", "now", &ids[3..]),
            ("beginning", "beginning", &ids[..]),
            ("message", &middle, &ids[1..]),
            ("past", "timestamp:2000-01-01T00:00:00.000000Z", &ids[..]),
            ("future", "timestamp:2999-12-31T00:00:00.000000Z", &ids[3..]),
        ] {
            let made = database
                .run(&format!(
                    "subscription create t {group} --from {from} --json"
                ))
                .json();
            assert_eq!(made[0]["start"], from, "as it was given");
            // Tracked messages of before are handed over by maintenance.
            database.run("maintain --once").ok();
            assert_eq!(pending(&database, group), owed, "{mode} {group}");
        }
        database.run("topic delete t --force").ok();
    }
}

#[tokio::test]
async fn order_and_what_a_failure_does_can_be_chosen() {
    let database = Database::migrated().await;
    database.run("topic create t --mode offset-watermark").ok();
    let made = database
        .run("subscription subscribe t g --ordering per-key --on-failure block --json")
        .json();
    assert_eq!(made[0]["ordering"], "per-key");
    assert_eq!(made[0]["on_failure"], "block");
    database.run("publish t --key k 1 2 3 4 5 6 7").ok();
    let consumed = database.run("consume t g --once --batch 3 --json").json();
    let payloads: Vec<_> = consumed.iter().map(|message| &message["payload"]).collect();
    assert_eq!(payloads, ["1", "2", "3", "4", "5", "6", "7"]);
}

#[tokio::test]
async fn a_seek_tells_what_it_moved() {
    let database = Database::migrated().await;
    for mode in ["reference-counting", "offset-watermark"] {
        database.run(&format!("topic create t --mode {mode}")).ok();
        database.run("subscription subscribe t g").ok();
        database.run("publish t a b c d").ok();
        let ids = pending(&database, "g");
        database.run("consume t g --max 3").ok();
        let to = format!("message:{}", ids[1]);
        let moved = database
            .run(&format!("subscription seek t g --to {to} --json"))
            .json()
            .remove(0);
        for (name, value) in [
            ("topic", json!("t")),
            ("group", json!("g")),
            ("status", json!("ACTIVE")),
            ("moved_to", json!(to)),
            ("lowest_unsettled_before", json!(ids[3])),
            ("pending_before", json!(1)),
        ] {
            assert_eq!(moved[name], value, "{mode} {name}");
        }
        database.run("maintain --once").ok();
        assert_eq!(pending(&database, "g"), ids[1..], "{mode}");
        let consumed = database.run("consume t g --once --json").json();
        assert_eq!(consumed.len(), 3, "{mode}");
        let text = database.run("subscription seek t g --to beginning").ok();
        assert!(text.contains("moved_to"), "{text}");
        database.run("maintain --once").ok();
        assert_eq!(pending(&database, "g"), ids);
        database.run("subscription seek t g --to now").ok();
        assert!(pending(&database, "g").is_empty());
        database.run("topic delete t").ok();
    }
    database.run("topic create q --queue").ok();
    database.run("publish q a").ok();
    database.run("consume q --once").ok();
    let moved = database.run("subscription seek q queue --to beginning --json");
    assert_eq!(moved.json()[0]["pending_before"], 0);
    database.run("maintain --once").ok();
    assert_eq!(database.run("consume q --once --json").json().len(), 1);
}
