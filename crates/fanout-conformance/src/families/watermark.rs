//! Up to where a topic is settled.

use std::time::Duration;

use fanout_core::{MemberExt, MessageId, StartPosition, SubscriptionOptions, Watermark};

use crate::stage::{LEASE, Scene, TestGroup, TestTopic, both_orderings, of_key, settle_all, take};

/// More rounds of maintenance than it takes to record what is settled.
pub(super) const MAX_ROUNDS: usize = 200;
pub(super) const NONE: MessageId = MessageId(0);

/// A topic with a group of each ordering.
pub(super) async fn stage(s: &Scene) -> (TestTopic, Vec<TestGroup>) {
    let topic = s.topic("orders").await;
    let mut groups = Vec::new();
    for (name, options) in both_orderings() {
        groups.push(topic.group_with(name, options).await);
    }
    (topic, groups)
}

/// The watermark, which must be true: no group owes what lies at or below it.
pub(super) async fn truth(topic: &TestTopic, groups: &[TestGroup]) -> Watermark {
    let watermark = topic.watermark().await;
    for group in groups {
        let lowest = group.pending().await.first().copied();
        assert!(
            lowest.is_none_or(|lowest| lowest > watermark.id),
            "{group:?} owes {lowest:?}, at or below the watermark: {watermark:?}"
        );
    }
    watermark
}

/// Maintains until the watermark has come to this message and stays there.
pub(super) async fn reaches(topic: &TestTopic, groups: &[TestGroup], id: MessageId, promise: &str) {
    for _ in 0..MAX_ROUNDS {
        topic.scene().maintain().await;
        let watermark = truth(topic, groups).await;
        assert!(watermark.id <= id, "{promise}, no further: {watermark:?}");
        if watermark.id == id {
            topic.scene().maintain_until_idle().await;
            assert_eq!(topic.watermark().await.id, id, "{promise}, and stays there");
            return;
        }
    }
    panic!(
        "{promise}: expected {id}, but after {MAX_ROUNDS} rounds of maintenance it is {:?}",
        topic.watermark().await
    );
}

/// Maintains for a while; the watermark must stay below this message.
pub(super) async fn stays_below(
    topic: &TestTopic,
    groups: &[TestGroup],
    id: MessageId,
    promise: &str,
) {
    for _ in 0..5 {
        topic.scene().maintain().await;
        let watermark = truth(topic, groups).await;
        assert!(watermark.id < id, "{promise} {id}: {watermark:?}");
    }
}

pub(crate) async fn a_new_topic_is_settled_up_to_nothing(s: &Scene) {
    let (topic, groups) = stage(s).await;
    for _ in 0..2 {
        let watermark = truth(&topic, &groups).await;
        assert_eq!(
            (watermark.id, watermark.decided),
            (NONE, NONE),
            "before the first message there is nothing to settle"
        );
        s.maintain_until_idle().await;
    }
}

pub(crate) async fn it_follows_the_slowest_group(s: &Scene) {
    let (topic, groups) = stage(s).await;
    let sent = topic.publish_all(of_key("a", 10)).await;
    groups[0].drain().await;
    stays_below(&topic, &groups, sent[0], "one group still owes").await;
    let member = groups[1].member().await;
    let held = take(&*member, 10).await;
    stays_below(&topic, &groups, sent[0], "what is in hand is owed:").await;
    for (delivery, next) in held.iter().zip(&sent[1..]) {
        settle_all(&*member, std::slice::from_ref(delivery)).await;
        stays_below(&topic, &groups, *next, "still owed is").await;
    }
    settle_all(&*member, &held[9..]).await;
    reaches(
        &topic,
        &groups,
        sent[9],
        "when all is settled it comes to the end",
    )
    .await;
    assert_eq!(
        topic.watermark().await.decided,
        sent[9],
        "and all is decided up to there"
    );
}

pub(crate) async fn a_gap_in_what_is_settled_holds_it(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let sent = topic.publish(6).await;
    let member = group.member().await;
    let held = take(&*member, 6).await;
    let (first, others): (Vec<_>, Vec<_>) = held
        .into_iter()
        .partition(|delivery| delivery.message.id == sent[2]);
    settle_all(&*member, &others).await;
    let groups = [group];
    stays_below(&topic, &groups, sent[2], "still owed is").await;
    settle_all(&*member, &first).await;
    reaches(
        &topic,
        &groups,
        sent[5],
        "with the gap closed it comes to the end",
    )
    .await;
}

pub(crate) async fn without_groups_what_is_decided_counts(s: &Scene) {
    let topic = s.topic("orders").await;
    let sent = topic.publish(4).await;
    let promise = "what nobody owes is settled";
    reaches(&topic, &[], sent[3], promise).await;
    let group = topic.group("late").await;
    reaches(
        &topic,
        &[group],
        sent[3],
        "also once a group owes what comes",
    )
    .await;
}

pub(crate) async fn a_cancelled_group_does_not_hold_it(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let group = topic.group_with("goes", options).await;
        let sent = topic.publish_all(of_key("a", 4)).await;
        take(&*group.member().await, 2).await;
        stays_below(
            &topic,
            std::slice::from_ref(&group),
            sent[0],
            "a live group owes",
        )
        .await;
        group.cancel().await.expect("a group can be cancelled");
        reaches(&topic, &[group], sent[3], "a cancelled group owes nothing").await;
    }
}

pub(crate) async fn a_paused_group_holds_it(s: &Scene) {
    let (topic, groups) = stage(s).await;
    let sent = topic.publish_all(of_key("a", 4)).await;
    for group in &groups {
        group.pause().await.expect("a live group can be paused");
    }
    stays_below(&topic, &groups, sent[0], "a paused group owes").await;
    for group in &groups {
        group.resume().await.expect("a paused group can be resumed");
        group.drain().await;
    }
    reaches(&topic, &groups, sent[3], "until it has settled").await;
}

pub(crate) async fn what_is_set_aside_holds_it(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let options = SubscriptionOptions {
            max_attempts: 2,
            ..options
        };
        let group = topic.group_with("billing", options).await;
        let sent = topic.publish_all(of_key("a", 4)).await;
        let member = group.member().await;
        let first = take(&*member, 1).await.remove(0);
        let id = first.message.id;
        member.fail(&first, "no").await.expect("it is held");
        let rest = take(&*member, 3).await;
        settle_all(&*member, &rest).await;
        let groups = [group];
        stays_below(&topic, &groups, id, "still owed is").await;
        s.advance(Duration::from_secs(1));
        let again = take(&*member, 1).await.remove(0);
        stays_below(&topic, &groups, id, "still owed is").await;
        member.fail(&again, "no").await.expect("it is held");
        reaches(&topic, &groups, sent[3], "what is given up is settled").await;
    }
}

pub(crate) async fn a_blocked_lane_holds_it(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", crate::stage::blocking()).await;
    let sent = topic.publish_all(of_key("a", 3)).await;
    let member = group.member().await;
    let held = take(&*member, 3).await;
    settle_all(&*member, &held[..1]).await;
    member.fail(&held[1], "no").await.expect("it is held");
    let groups = [group];
    stays_below(&topic, &groups, sent[1], "still owed is").await;
    s.advance(LEASE);
    groups[0].drain_by(&*member).await;
    reaches(&topic, &groups, sent[2], "until the lane has gone on").await;
}

pub(crate) async fn it_falls_for_a_start_in_the_past(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        let early = topic.group("early").await;
        let sent = topic.publish_all(of_key("a", 5)).await;
        early.drain().await;
        let mut groups = vec![early];
        reaches(&topic, &groups, sent[4], "all is settled").await;

        let now = topic.group_with("now", options.clone()).await;
        groups.push(now);
        let watermark = truth(&topic, &groups).await;
        assert_eq!(watermark.id, sent[4], "for a start from now it stays");

        let late = topic.at("late");
        let made = late.start(StartPosition::FromMessage(sent[2]), options);
        made.await.expect("a group may start anywhere");
        groups.push(late);
        // At once: what was settled is owed again, so it must not be removed.
        let watermark = topic.watermark().await;
        assert!(
            watermark.id < sent[2],
            "what a start in the past owes is above the watermark from the subscription on: \
             {watermark:?}"
        );
        stays_below(&topic, &groups, sent[2], "still owed is").await;
        groups[2].drain().await;
        reaches(&topic, &groups, sent[4], "until it is settled").await;
    }
}

pub(crate) async fn it_falls_for_a_seek(s: &Scene) {
    let (topic, groups) = stage(s).await;
    let sent = topic.publish_all(of_key("a", 5)).await;
    for group in &groups {
        group.drain().await;
    }
    reaches(&topic, &groups, sent[4], "all is settled").await;
    for group in &groups {
        let moved = group.seek(StartPosition::FromMessage(sent[1])).await;
        moved.expect("a live group can be moved");
        let watermark = topic.watermark().await;
        assert!(
            watermark.id < sent[1],
            "what is sought again is above the watermark from the seek on: {watermark:?}"
        );
        stays_below(&topic, &groups, sent[1], "still owed is").await;
        let moved = group.seek(StartPosition::FromNow).await;
        moved.expect("a live group can be moved");
        reaches(&topic, &groups, sent[4], "what is skipped does not hold it").await;
    }
}

pub(crate) async fn queues_have_one_too(s: &Scene) {
    let queue = s.queue("jobs").await;
    let sent = queue.publish(3).await;
    let groups = [queue.queue_group()];
    stays_below(&queue, &groups, sent[0], "a queue owes").await;
    groups[0].drain().await;
    reaches(&queue, &groups, sent[2], "until it has settled").await;
}

pub(crate) async fn topics_have_one_each(s: &Scene) {
    let (a, b) = (s.topic("a").await, s.topic("b").await);
    let (of_a, of_b) = ([a.group("g").await], [b.group("g").await]);
    let (_, sent) = (a.publish(2).await, b.publish(3).await);
    of_b[0].drain().await;
    reaches(&b, &of_b, sent[2], "one topic is settled").await;
    stays_below(&a, &of_a, MessageId(1), "and the other is not:").await;
}
