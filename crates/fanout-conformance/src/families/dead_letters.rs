//! Messages that a group gives up.

use fanout_core::{
    DeadReason, DeleteTopic, MAX_ERROR_BYTES, MemberExt, NewMessage, Outcome, SubscriptionOptions,
    stored_error,
};
use serde_json::json;

use crate::stage::{
    LEASE, STALE, Scene, TestGroup, TestTopic, ids, nothing, options, refused, same_ids, take,
};

async fn group_that_gives_up(topic: &TestTopic, attempts: u32, stalls: u32) -> TestGroup {
    let options = SubscriptionOptions {
        max_attempts: attempts,
        max_stalls: stalls,
        ..options()
    };
    topic.group_with("billing", options).await
}

pub(crate) async fn the_last_attempt_makes_a_dead_letter(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = group_that_gives_up(&topic, 3, 5).await;
    let message = NewMessage::new("payload")
        .key("key")
        .header("nested", json!({ "a": [1, null] }));
    topic.publish_all(vec![message]).await;
    let member = group.member().await;
    let mut last = None;
    for attempt in 1..=3 {
        let delivery = take(&*member, 1).await.remove(0);
        assert_eq!(delivery.attempt, attempt, "an attempt is 1 + the failures");
        assert_eq!(
            group.dead_letters().await,
            [],
            "no message is given up before its last attempt"
        );
        let reason = format!("failure {attempt}");
        let outcome = member.fail(&delivery, &reason).await.expect("it is held");
        assert_eq!(
            outcome == Outcome::DeadLettered,
            attempt == 3,
            "exactly the last attempt gives it up: {outcome:?}"
        );
        last = Some(delivery.message);
        if attempt < 3 {
            s.advance(LEASE);
        }
    }
    let dead = group.dead_letters().await;
    assert_eq!(dead.len(), 1, "there is one dead letter: {dead:?}");
    let dead = &dead[0];
    assert_eq!(
        Some(&dead.message),
        last.as_ref(),
        "a dead letter is a copy of the message with all it had"
    );
    assert_eq!(
        (&dead.group, dead.attempts, dead.reason, dead.dead_at),
        (group.name(), 3, DeadReason::AttemptsExhausted, s.now()),
        "it says who gave up, when, why, and after how many attempts"
    );
    assert_eq!(
        dead.last_error.as_deref(),
        Some("failure 3"),
        "it keeps what the last failure said"
    );
    assert_eq!(
        group.pending().await,
        [],
        "a dead-lettered message is settled"
    );
    s.advance(LEASE * 10);
    nothing(&*member, "and is not delivered again").await;
}

pub(crate) async fn with_one_attempt_the_first_failure_is_the_last(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = group_that_gives_up(&topic, 1, 5).await;
    let sent = topic.publish(1).await;
    let member = group.member().await;
    let delivery = take(&*member, 1).await.remove(0);
    let outcome = member.fail(&delivery, "no").await.expect("it is held");
    assert_eq!(outcome, Outcome::DeadLettered, "one attempt is one attempt");
    refused(
        member.fail(&delivery, "no").await,
        STALE,
        "a message is given up once",
    );
    assert_eq!(group.dead_letters().await.len(), 1, "there is one copy");
    topic.complete(&sent, "giving up settles").await;
    assert_eq!(group.pending().await, [], "giving up settles");
}

pub(crate) async fn texts_of_failures_are_kept_within_bounds(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = group_that_gives_up(&topic, 1, 5).await;
    let texts = [
        String::new(),
        "größe 注文 🦀 '\"\\ \n".to_owned(),
        "with\0zero\0bytes".to_owned(),
        "é".repeat(MAX_ERROR_BYTES),
        "x".repeat(1 << 20),
    ];
    let member = group.member().await;
    for text in &texts {
        topic.publish(1).await;
        let delivery = take(&*member, 1).await.remove(0);
        let outcome = member.fail(&delivery, text).await;
        assert_eq!(
            outcome.expect("any text may be given as a reason"),
            Outcome::DeadLettered,
            "whatever the text, the failure counts"
        );
        let dead = group.dead_letters().await;
        let kept = dead.last().and_then(|dead| dead.last_error.clone());
        assert_eq!(
            kept,
            Some(stored_error(text)),
            "texts are kept without U+0000 and up to {MAX_ERROR_BYTES} bytes"
        );
    }
}

pub(crate) async fn a_retried_message_takes_any_text_too(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = group_that_gives_up(&topic, 2, 1).await;
    topic.publish(1).await;
    let member = group.member().await;
    let delivery = take(&*member, 1).await.remove(0);
    let text = format!("{}\0", "é".repeat(1 << 19));
    member.fail(&delivery, &text).await.expect("it is held");
    s.advance(LEASE);
    take(&*member, 1).await;
    s.advance(LEASE);
    nothing(&*member, "its lease expired once too often").await;
    let dead = group.dead_letters().await;
    assert_eq!(dead.len(), 1, "it was given up: {dead:?}");
    assert_eq!(
        dead[0].last_error.as_deref(),
        Some(&*stored_error(&text)),
        "what an earlier failure said is kept until then"
    );
}

pub(crate) async fn poison_keeps_what_the_last_failure_said(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = group_that_gives_up(&topic, 5, 1).await;
    topic.publish(1).await;
    let member = group.member().await;
    let delivery = take(&*member, 1).await.remove(0);
    member.fail(&delivery, "broken").await.expect("it is held");
    s.advance(LEASE);
    take(&*member, 1).await;
    s.advance(LEASE);
    nothing(&*member, "its lease expired once too often").await;
    let dead = group.dead_letters().await;
    assert_eq!(dead.len(), 1, "it is given up: {dead:?}");
    assert_eq!(
        (dead[0].reason, dead[0].attempts),
        (DeadReason::Poison, 1),
        "attempts are failures, not expired leases"
    );
    assert_eq!(
        dead[0].last_error.as_deref(),
        Some("broken"),
        "and the last of them said this"
    );
}

pub(crate) async fn releases_and_extensions_are_no_stalls(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = group_that_gives_up(&topic, 5, 1).await;
    topic.publish(1).await;
    let member = group.member().await;
    for _ in 0..4 {
        let delivery = take(&*member, 1).await.remove(0);
        s.advance(LEASE / 2);
        let extended = member.extend(&[delivery.receipt], LEASE).await;
        extended.expect("it is held");
        s.advance(LEASE / 2);
        member.release(&delivery).await.expect("it is held");
    }
    assert_eq!(
        group.dead_letters().await,
        [],
        "only an expired lease that is taken again counts against a message"
    );
    assert_eq!(group.pending().await.len(), 1, "it is owed");
}

pub(crate) async fn giving_up_concerns_one_group(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = group_that_gives_up(&topic, 1, 5).await;
    let other = topic.group("other").await;
    let sent = topic.publish(1).await;
    let member = group.member().await;
    let delivery = take(&*member, 1).await.remove(0);
    member.fail(&delivery, "no").await.expect("it is held");
    assert_eq!(
        (
            group.stats().await.dead_letters,
            other.stats().await.dead_letters
        ),
        (1, 0),
        "a dead letter counts for the group that gave up"
    );
    assert_eq!(other.dead_letters().await, [], "other groups have none");
    same_ids(
        ids(&other.drain().await),
        sent,
        "other groups get the message as ever",
    );
}

pub(crate) async fn dead_letters_are_listed_oldest_first(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = group_that_gives_up(&topic, 1, 5).await;
    let other = topic
        .group_with(
            "other",
            SubscriptionOptions {
                max_attempts: 1,
                ..options()
            },
        )
        .await;
    topic.publish(3).await;
    let (one, two) = (group.member().await, other.member().await);
    let (held, others) = (take(&*one, 3).await, take(&*two, 3).await);
    // Not in the order of ids.
    let mut order = Vec::new();
    for i in [2, 0, 1] {
        one.fail(&held[i], "no").await.expect("it is held");
        order.push((group.name().clone(), held[i].message.id));
        s.advance(std::time::Duration::from_secs(1));
        two.fail(&others[i], "no").await.expect("it is held");
        order.push((other.name().clone(), others[i].message.id));
        s.advance(std::time::Duration::from_secs(1));
    }
    let listed = |dead: Vec<fanout_core::DeadLetter>| {
        let places = dead.into_iter().map(|dead| (dead.group, dead.message.id));
        places.collect::<Vec<_>>()
    };
    assert_eq!(
        listed(topic.dead_letters().await),
        order,
        "those of all groups are listed, oldest first"
    );
    let own: Vec<_> = order
        .iter()
        .filter(|(name, _)| name == group.name())
        .cloned()
        .collect();
    assert_eq!(
        listed(group.dead_letters().await),
        own,
        "those of one group can be listed alone"
    );
    let first = s.backend.dead_letters(topic.name(), None, 2).await;
    assert_eq!(
        listed(first.expect("dead letters can be read")),
        order[..2],
        "at most `limit`"
    );
}

pub(crate) async fn dead_letters_outlive_their_topic(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = group_that_gives_up(&topic, 1, 5).await;
    topic.publish(1).await;
    let member = group.member().await;
    let delivery = take(&*member, 1).await.remove(0);
    member.fail(&delivery, "no").await.expect("it is held");
    let before = topic.dead_letters().await;
    assert_eq!(before.len(), 1, "there is a dead letter");
    topic
        .delete(DeleteTopic::IfSettled)
        .await
        .expect("dead letters do not keep a topic");
    assert_eq!(topic.dead_letters().await, before, "they stay by its name");
    s.topic("orders").await;
    assert_eq!(
        topic.dead_letters().await,
        before,
        "also when a topic of that name is made again"
    );
    s.maintain_until_idle().await;
    assert_eq!(group.dead_letters().await, before, "and by their group");
}

pub(crate) async fn dead_letters_outlive_their_subscription(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = group_that_gives_up(&topic, 1, 5).await;
    topic.publish(1).await;
    let member = group.member().await;
    let delivery = take(&*member, 1).await.remove(0);
    member.fail(&delivery, "no").await.expect("it is held");
    group.cancel().await.expect("a group can be cancelled");
    s.maintain_until_idle().await;
    assert_eq!(
        group.dead_letters().await.len(),
        1,
        "what a group gave up can be read after its cancellation"
    );
}
