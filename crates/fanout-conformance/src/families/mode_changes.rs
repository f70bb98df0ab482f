//! Changing a topic's mode while it is used.

use std::sync::Arc;

use fanout_core::{
    CompletionMode, DeleteTopic, ErrorKind, Member, MessageId, Outcome, Settlement, StartPosition,
    SubscriptionStatus, TopicConfig,
};

use crate::stage::{
    Scene, TestGroup, TestTopic, both_orderings, fetch, ids, in_order, keyed, ordered, outcomes,
    refused, same_ids, settle_all, take, together,
};

/// A topic in the case's mode with an unordered and an ordered group.
pub(super) async fn with_both_kinds(s: &Scene) -> (TestTopic, Vec<TestGroup>) {
    let topic = s.topic("orders").await;
    let mut groups = Vec::new();
    for (name, options) in both_orderings() {
        groups.push(topic.group_with(name, options).await);
    }
    (topic, groups)
}

/// What each group has left of a mode.
async fn left(topic: &TestTopic, mode: CompletionMode) -> Vec<(String, u64)> {
    let remaining = topic.remaining(mode).await.into_iter();
    remaining
        .map(|of| (of.group.to_string(), of.messages))
        .collect()
}

pub(crate) async fn it_says_what_the_mode_is(s: &Scene) {
    let topic = s.topic("orders").await;
    let other = s.mode.other();
    let same = topic.migrate(s.mode).await;
    assert_eq!(
        same.config.completion_mode, s.mode,
        "to the present mode nothing changes"
    );
    let changed = topic.migrate(other).await;
    assert_eq!(
        changed.config,
        TopicConfig {
            completion_mode: other,
            ..same.config.clone()
        },
        "the mode changes, and nothing else"
    );
    let read = s.backend.topic(topic.name()).await;
    assert_eq!(
        read.expect("the topic exists"),
        changed,
        "and everybody sees it"
    );
    assert_eq!(topic.migrate(s.mode).await, same, "and it changes back");
}

pub(crate) async fn a_topic_must_exist(s: &Scene) {
    let nowhere = s.at("nowhere");
    let missing = &[ErrorKind::TopicNotFound];
    let changed = nowhere.try_migrate(s.mode).await;
    refused(changed, missing, "only a topic that exists has a mode");
    let remaining = s.backend.remaining(nowhere.name(), s.mode).await;
    refused(remaining, missing, "and something left");

    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(2).await;
    topic.migrate(s.mode.other()).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    topic
        .delete(DeleteTopic::Forced)
        .await
        .expect("a topic can be deleted after a change");
    let changed = topic.try_migrate(s.mode).await;
    refused(changed, missing, "a topic that is gone has no mode");
    let settlement = [Settlement::done(held[0].receipt)];
    assert_eq!(
        outcomes(&*member, &settlement).await,
        [Outcome::Stale],
        "and its receipts are stale"
    );
    let again = s.topic("orders").await;
    assert_eq!(
        again.migrate(s.mode).await.config.completion_mode,
        s.mode,
        "its successor has the mode that it was made with"
    );
}

pub(super) fn in_order_if_asked(group: &TestGroup, deliveries: &[fanout_core::Delivery]) {
    if group.name().as_str() == "ordered" {
        in_order(deliveries, "order holds across changes");
    }
}

pub(crate) async fn what_is_left_is_told_per_group(s: &Scene) {
    let (topic, groups) = with_both_kinds(s).await;
    let idle = topic.group("idle").await;
    let (mode, other) = (s.mode, s.mode.other());
    topic.publish(5).await;
    topic.migrate(other).await;
    topic.publish(3).await;
    let told = |idle: u64, unordered: u64| {
        [("idle", idle), ("ordered", 0), ("unordered", unordered)]
            .map(|(name, count)| (name.to_owned(), count))
            .to_vec()
    };
    assert_eq!(
        left(&topic, mode).await,
        told(5, 5),
        "what was published before is left of the former mode; a group that reads in order leaves no path"
    );
    assert_eq!(
        left(&topic, other).await,
        told(3, 3),
        "and would be left of the present one"
    );
    let member = groups[0].member().await;
    let held = take(&*member, 8).await;
    assert_eq!(left(&topic, mode).await, told(5, 5), "in hand is left, too");
    settle_all(&*member, &held).await;
    assert_eq!(left(&topic, mode).await, told(5, 0), "settled is not");
    groups[1].drain().await;
    idle.drain().await;
    assert_eq!(left(&topic, mode).await, told(0, 0), "in the end nothing");
    idle.cancel().await.expect("a group can be cancelled");
    assert_eq!(
        topic.remaining(mode).await.len(),
        2,
        "a cancelled group is not listed"
    );
}

pub(crate) async fn it_is_reversed_midway(s: &Scene) {
    let (topic, groups) = with_both_kinds(s).await;
    let mut sent = Vec::new();
    let mut members = Vec::new();
    for group in &groups {
        members.push(group.member().await);
    }
    let mut got = vec![Vec::new(); groups.len()];
    for round in 0..6 {
        sent.extend(topic.publish_keyed(&["a", "b", "a", "c"]).await);
        topic.migrate(topic.mode().await.other()).await;
        for (member, got) in members.iter().zip(&mut got) {
            // One round is left open each time.
            let deliveries = fetch(&**member, 1 + round % 3).await;
            settle_all(&**member, &deliveries).await;
            got.extend(deliveries);
        }
    }
    for ((group, member), mut got) in groups.iter().zip(members).zip(got) {
        got.extend(group.drain_by(&*member).await);
        same_ids(ids(&got), sent.clone(), "each message comes once");
        in_order_if_asked(group, &got);
    }
    for mode in [s.mode, s.mode.other()] {
        assert!(
            left(&topic, mode).await.iter().all(|(_, left)| *left == 0),
            "nothing is left of either mode"
        );
    }
}

pub(crate) async fn a_parked_message_is_left_of_neither_mode(s: &Scene) {
    let topic = s
        .topic_with(
            "orders",
            TopicConfig {
                completion_mode: CompletionMode::OffsetWatermark,
                ..TopicConfig::default()
            },
        )
        .await;
    let group = topic.group("billing").await;
    topic.publish(1).await;
    let member = group.member().await;
    let held = take(&*member, 1).await;
    outcomes(&*member, &[Settlement::fail(held[0].receipt, "no")]).await;
    for mode in [
        CompletionMode::ReferenceCounting,
        CompletionMode::OffsetWatermark,
    ] {
        assert_eq!(
            left(&topic, mode).await,
            [("billing".to_owned(), 0)],
            "{mode}: both modes retry it alike"
        );
    }
    assert_eq!(group.stats().await.pending, 1, "though it is owed");
}

pub(crate) async fn a_paused_group_keeps_what_is_left(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let sent = topic.publish(3).await;
    group.pause().await.expect("a group can be paused");
    topic.migrate(s.mode.other()).await;
    let remaining = topic.remaining(s.mode).await;
    assert_eq!(
        (remaining[0].status, remaining[0].messages),
        (SubscriptionStatus::Paused, 3),
        "it counts, and has all of it"
    );
    group
        .nothing("a paused group gets nothing in any mode")
        .await;
    let sent: Vec<_> = sent.into_iter().chain(topic.publish(2).await).collect();
    group.resume().await.expect("it can be resumed");
    same_ids(ids(&group.drain().await), sent, "then it gets all of both");
    assert_eq!(topic.remaining(s.mode).await[0].messages, 0);
}

pub(crate) async fn a_group_may_subscribe_at_any_point(s: &Scene) {
    let topic = s.topic("orders").await;
    topic.group("first").await;
    let before = topic.publish(3).await;
    topic.migrate(s.mode.other()).await;
    let between = topic.publish(2).await;
    for (name, options) in both_orderings() {
        let all = topic.at(&format!("{name} from the beginning"));
        all.start(StartPosition::FromBeginning, options.clone())
            .await
            .expect("a group may start in the past");
        let some = topic.at(&format!("{name} from a message"));
        some.start(StartPosition::FromMessage(before[2]), options.clone())
            .await
            .expect("or at a message");
        let now = topic.group_with(&format!("{name} from now"), options).await;
        let expected = [&before[..], &between].concat();
        assert_eq!(all.pending().await, expected, "all of both modes");
        assert_eq!(some.pending().await, expected[2..], "from the message on");
        assert_eq!(now.pending().await, [], "nothing of before");
        if name == "unordered" {
            let left = left(&topic, s.mode).await;
            let of = |name: &str| {
                left.iter()
                    .find(|(group, _)| group == name)
                    .map(|(_, n)| *n)
            };
            assert_eq!(of("unordered from the beginning"), Some(3));
            assert_eq!(of("unordered from a message"), Some(1));
        }
        same_ids(ids(&all.drain().await), expected.clone(), "and gets it");
        same_ids(
            ids(&some.drain().await),
            expected[2..].to_vec(),
            "and gets it",
        );
        all.seek(StartPosition::FromMessage(before[1]))
            .await
            .expect("it may go back");
        assert_eq!(
            all.pending().await,
            expected[1..],
            "to what both modes have"
        );
        same_ids(
            ids(&all.drain().await),
            expected[1..].to_vec(),
            "and gets it",
        );
    }
}

pub(crate) async fn cancelling_concerns_both_modes(s: &Scene) {
    let (topic, groups) = with_both_kinds(s).await;
    topic.publish(3).await;
    topic.migrate(s.mode.other()).await;
    topic.publish(3).await;
    for group in &groups {
        group.cancel().await.expect("a group can be cancelled");
        assert_eq!(group.pending().await, [], "it owes nothing of either mode");
    }
    assert_eq!(topic.remaining(s.mode).await, [], "and has nothing left");
    s.maintain_until_idle().await;
    for record in topic.accounting().await.into_values() {
        assert!(
            record.required.is_empty(),
            "and no record waits: {record:?}"
        );
    }
    topic
        .delete(DeleteTopic::IfSettled)
        .await
        .expect("nothing of either mode is owed");
}

pub(crate) async fn queues_change_too(s: &Scene) {
    let queue = s.queue("jobs").await;
    let consumers = [queue.consumer().await, queue.consumer().await];
    let mut sent = queue.publish(6).await;
    let mut got = take(&*consumers[0], 2).await;
    queue.migrate(s.mode.other()).await;
    sent.extend(queue.publish(6).await);
    settle_all(&*consumers[0], &got).await;
    for consumer in &consumers {
        consumer.leave().await.expect("a consumer can leave");
    }
    got.extend(queue.queue_group().drain().await);
    same_ids(ids(&got), sent, "each goes to one consumer, once");
    assert_eq!(queue.remaining(s.mode).await[0].messages, 0);
}

pub(crate) async fn figures_and_watermark_run_across(s: &Scene) {
    let (topic, groups) = with_both_kinds(s).await;
    let before = topic.publish(4).await;
    topic.migrate(s.mode.other()).await;
    let after = topic.publish(3).await;
    s.maintain_until_idle().await;
    assert_eq!(
        topic.watermark().await.id,
        MessageId(before[0].0 - 1),
        "nothing is settled"
    );
    for group in &groups {
        let stats = group.stats().await;
        assert_eq!(
            (stats.pending, stats.lowest_unsettled),
            (7, Some(before[0])),
            "figures count both modes"
        );
        let member = group.member().await;
        let mut held = take(&*member, 7).await;
        held.sort_by_key(|delivery| delivery.message.id);
        assert_eq!(group.stats().await.in_flight, 7, "what is in hand as well");
        settle_all(&*member, &held[..4]).await;
        let stats = group.stats().await;
        assert_eq!(
            (stats.pending, stats.in_flight, stats.lowest_unsettled),
            (3, 3, Some(after[0])),
            "what was settled is not counted"
        );
        member.leave().await.expect("a member can leave");
    }
    s.maintain_until_idle().await;
    assert_eq!(
        topic.watermark().await.id,
        before[3],
        "the first mode's are settled by all"
    );
    topic.migrate(s.mode).await;
    for group in &groups {
        group.drain().await;
    }
    s.maintain_until_idle().await;
    assert_eq!(
        topic.watermark().await.id,
        after[2],
        "and those of the second"
    );
}

pub(crate) async fn f5_changes_of_the_mode_leave_required_sets_alone(s: &Scene) {
    let topic = s
        .topic_with(
            "orders",
            TopicConfig {
                completion_mode: CompletionMode::ReferenceCounting,
                ..TopicConfig::default()
            },
        )
        .await;
    let first = topic.group("first").await;
    let second = topic.group("second").await;
    topic.group_with("ordered", ordered()).await;
    let sent = topic.publish(3).await;
    let records = topic.accounting().await;
    let required = [&first, &second].map(|group| group.name().clone()).into();
    for record in records.values() {
        assert_eq!(record.required, required, "unordered groups are required");
    }
    topic.migrate(CompletionMode::OffsetWatermark).await;
    topic.group("third").await;
    topic.publish(2).await;
    assert_eq!(
        topic.accounting().await,
        records,
        "neither the change nor who came after it makes a difference"
    );
    topic.migrate(CompletionMode::ReferenceCounting).await;
    let third = topic.publish(1).await;
    let mut with_third = topic.accounting().await;
    let last = with_third.remove(&third[0]).expect("it is tracked");
    assert_eq!(last.required.len(), 3, "new ones count who is there now");
    assert_eq!(with_third, records, "old ones stay");
    topic.migrate(CompletionMode::OffsetWatermark).await;
    first.drain().await;
    second.cancel().await.expect("a group can be cancelled");
    s.maintain_until_idle().await;
    for id in sent {
        let record = topic.record(id).await;
        let only: std::collections::BTreeSet<_> = [first.name().clone()].into();
        assert_eq!(
            (&record.required, &record.completed),
            (&only, &only),
            "they are settled by those who must, in whatever mode the topic is"
        );
        assert!(record.completed_at.is_some(), "and complete: {record:?}");
    }
}

pub(crate) async fn concurrent_changes_meet_everything_else(s: &Scene) {
    let (topic, groups) = with_both_kinds(s).await;
    let members: Vec<Arc<dyn Member>> = {
        let mut members = Vec::new();
        for group in &groups {
            members.push(group.member().await);
        }
        members
    };
    let sent = together(6, |i| {
        let (topic, members) = (topic.clone(), members.clone());
        async move {
            let (mut sent, mut got) = (Vec::new(), Vec::new());
            for round in 0..20 {
                match i {
                    0 | 1 => {
                        let modes = [topic.scene().mode, topic.scene().mode.other()];
                        let changed = topic.migrate(modes[(round + i) % 2]).await;
                        assert_eq!(
                            changed.config.completion_mode,
                            modes[(round + i) % 2],
                            "each call says what it made the mode"
                        );
                    }
                    2 | 3 => {
                        let key = if i == 2 { "a" } else { "b" };
                        sent.extend(topic.publish_all(keyed(&[key, key])).await);
                    }
                    _ => {
                        let member = &members[i - 4];
                        let deliveries = fetch(&**member, 5).await;
                        settle_all(&**member, &deliveries).await;
                        got.extend(deliveries);
                    }
                }
            }
            (sent, got)
        }
    })
    .await;
    let all: Vec<_> = sent.iter().flat_map(|(sent, _)| sent.clone()).collect();
    for (i, (group, member)) in groups.iter().zip(&members).enumerate() {
        let mut got = sent[4 + i].1.clone();
        got.extend(group.drain_by(&**member).await);
        same_ids(ids(&got), all.clone(), "each message comes once");
        in_order_if_asked(group, &got);
    }
    let last = topic.migrate(s.mode).await;
    assert_eq!(last.config.completion_mode, s.mode, "the last call holds");
}
