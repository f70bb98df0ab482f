//! `fanout topic`.

use serde_json::json;

use crate::support::{Database, run};

#[tokio::test]
async fn every_field_can_be_given_and_is_read_back() {
    let database = Database::migrated().await;
    let made = database
        .run(
            "topic create orders --json --lanes 3 --message-retention 2h30m \
             --zero-subscription-retention 90s --block-writes-on-zero-subscriptions \
             --max-retention 10d --partition-interval 500s --audit=true",
        )
        .json();
    for (name, value) in [
        ("name", json!("orders")),
        ("semantics", json!("pub-sub")),
        ("completion_mode", json!("reference-counting")),
        ("lanes", json!(3)),
        ("message_retention", json!("2h30m")),
        ("zero_subscription_retention", json!("1m30s")),
        ("block_writes_on_zero_subscriptions", json!(true)),
        ("max_retention", json!("10d")),
        ("partition_interval", json!("8m20s")),
        ("audit", json!(true)),
    ] {
        assert_eq!(made[0][name], value, "{name}");
    }
    assert_eq!(database.run("topic get orders --json").json(), made);
    let updated = database
        .run(
            "topic update orders --json --message-retention 1d --audit=false \
             --block-writes-on-zero-subscriptions=false",
        )
        .json();
    assert_eq!(updated[0]["message_retention"], "1d");
    assert_eq!(updated[0]["audit"], false);
    assert_eq!(updated[0]["block_writes_on_zero_subscriptions"], false);
    assert_eq!(
        updated[0]["max_retention"], "10d",
        "what is not given stays"
    );
    assert_eq!(updated[0]["id"], made[0]["id"]);
}

#[tokio::test]
async fn topics_are_listed_found_and_deleted() {
    let database = Database::migrated().await;
    assert_eq!(database.run("topic list").ok(), "");
    database.run("topic create b --queue").ok();
    database.run("topic create a").ok();
    let listed = database.run("topic list --json").json();
    let names: Vec<_> = listed.iter().map(|topic| &topic["name"]).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(listed[1]["semantics"], "queue");
    let text = database.run("topic list").ok();
    assert_eq!(text.lines().count(), 3, "a line of names: {text}");
    assert!(text.lines().nth(2).unwrap().starts_with("b  "), "{text}");
    assert!(
        database
            .run("topic get a")
            .ok()
            .contains("message_retention")
    );

    assert_eq!(database.run("topic exists a").ok(), "true\n");
    database.run("topic delete a").ok();
    let gone = database.run("topic exists a");
    assert_eq!((gone.code, gone.stdout.as_str()), (4, "false\n"));
    assert_eq!(gone.stderr, "", "an answer is no error");
    database
        .run("topic get a")
        .fails(4, &["topic=`a`", "create"]);
    database.run("topic delete a").fails(4, &[]);
}

#[tokio::test]
async fn a_topic_with_work_to_do_is_deleted_by_force_only() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("subscription subscribe t g").ok();
    database.run("publish t a b").ok();
    database.run("topic delete t").fails(5, &["2", "force"]);
    database.run("topic delete t --force").ok();
}

#[tokio::test]
async fn refusals_have_codes_of_their_own() {
    let database = Database::migrated().await;
    database.run("topic create t").ok();
    database.run("topic create t").fails(5, &["topic=`t`"]);
    database
        .run("topic create u --lanes 0")
        .fails(3, &["lanes"]);
    database
        .run("topic create u --max-retention 1h")
        .fails(3, &["max_retention"]);
    database.run("topic watermark nope").fails(4, &["nope"]);
    database
        .run("topic update nope --audit")
        .fails(4, &["nope"]);
}

#[tokio::test]
async fn a_mode_is_named_or_follows_from_the_number_of_groups() {
    let database = Database::migrated().await;
    for (name, options, mode) in [
        (
            "a",
            "--mode offset-watermark --lanes 32",
            "offset-watermark",
        ),
        ("b", "--mode reference-counting", "reference-counting"),
        ("c", "--expected-groups 8", "reference-counting"),
        ("d", "--expected-groups 17", "offset-watermark"),
        ("e", "", "reference-counting"),
    ] {
        let made = database.run(&format!("topic create {name} {options} --json"));
        assert_eq!(made.json()[0]["completion_mode"], mode, "{options}");
        let got = database.run(&format!("topic get {name} --json")).json();
        assert_eq!(got[0]["completion_mode"], mode, "{options}");
    }
    let got = database.run("topic get a --json").json();
    assert_eq!(got[0]["lanes"], 32);
    let made = database.run("topic create f --expected-groups 12");
    assert_eq!(made.code, 0);
    assert!(made.stdout.contains("reference-counting"), "{made:?}");
    assert!(made.stderr.starts_with("warning: "), "{made:?}");
    assert_eq!(made.stderr.lines().count(), 1, "{made:?}");
}

#[tokio::test]
async fn the_watermark_follows_what_all_groups_have_settled() {
    let database = Database::migrated().await;
    for mode in ["reference-counting", "offset-watermark"] {
        let topic = &mode[..6];
        database
            .run(&format!("topic create {topic} --mode {mode}"))
            .ok();
        let watermark = || {
            database.run("maintain --once").ok();
            let mut read = database
                .run(&format!("topic watermark {topic} --json"))
                .json();
            assert_eq!(read[0]["topic"], topic);
            assert!(read[0]["updated_at"].is_string());
            let mut field = |name: &str| read[0][name].take().as_i64().unwrap();
            (field("watermark"), field("decided"), field("lag"))
        };
        assert_eq!(watermark(), (0, 0, 0));
        database
            .run(&format!("subscription subscribe {topic} g"))
            .ok();
        database
            .run(&format!("subscription subscribe {topic} h"))
            .ok();
        database.run(&format!("publish {topic} a b c")).ok();
        database.run(&format!("consume {topic} g --once")).ok();
        let (settled, decided, lag) = watermark();
        assert!(decided >= 3, "{decided}");
        assert_eq!((settled, lag), (0, decided));
        database.run(&format!("consume {topic} h --once")).ok();
        assert_eq!(watermark(), (decided, decided, 0));
        let text = database.run(&format!("topic watermark {topic}")).ok();
        assert!(text.contains("decided"), "{text}");
    }
}

#[test]
fn a_recommendation_needs_no_database() {
    let recommended = |groups: &str| {
        let ran = run(&["topic", "recommend", "--groups", groups, "--json"]);
        ran.json().remove(0)
    };
    for (groups, mode) in [("8", "reference-counting"), ("40", "offset-watermark")] {
        assert_eq!(recommended(groups)["mode"], mode);
        assert_eq!(recommended(groups)["warning"], json!(null));
    }
    assert_eq!(recommended("9")["mode"], "reference-counting");
    assert!(recommended("9")["warning"].is_string());
    let text = run(&["topic", "recommend", "--groups", "9"]).ok();
    assert!(text.contains("offset-watermark costs none"), "{text}");
}
