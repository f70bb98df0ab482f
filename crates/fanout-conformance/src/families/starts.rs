//! Where a subscription starts.

use std::time::Duration;

use fanout_core::{
    DeleteTopic, ErrorKind, MessageId, StartPosition, SubscriptionOptions, Timestamp,
};

use crate::Harness;
use crate::stage::{
    Fixture, LEASE, Scene, TestGroup, TestTopic, both_orderings, ids, in_order, keyed, of_key,
    options, ordered, refused, same_ids, settle_all, take,
};

use StartPosition::{FromBeginning, FromMessage, FromNow, FromTimestamp};

const SECOND: Duration = Duration::from_secs(1);

/// Subscribes a group of each ordering at this position.
async fn start(topic: &TestTopic, name: &str, start: StartPosition) -> Vec<TestGroup> {
    let mut groups = Vec::new();
    for (ordering, options) in both_orderings() {
        let group = topic.at(&format!("{name} {ordering}"));
        let made = group.start(start, options).await;
        let made = made.expect("a group may start anywhere");
        assert_eq!(made.start, start, "a subscription tells where it started");
        let read = group.subscription().await.expect("it is subscribed");
        assert_eq!(read.start, start, "and keeps it");
        groups.push(group);
    }
    groups
}

/// Asserts that each group owes exactly these, is delivered them in order, and nothing again.
async fn owes(groups: &[TestGroup], expected: &[MessageId], promise: &str) {
    for group in groups {
        group.scene().maintain_until_idle().await;
        assert_eq!(group.pending().await, expected, "{promise}: {group:?}");
        assert_eq!(
            group.stats().await.pending,
            expected.len() as u64,
            "{promise}, and the figures agree"
        );
        let drained = group.drain().await;
        same_ids(ids(&drained), expected.to_vec(), promise);
        let options = group
            .subscription()
            .await
            .expect("it is subscribed")
            .options;
        if options.ordering == fanout_core::Ordering::PerKey {
            in_order(&drained, promise);
        }
        assert_eq!(group.pending().await, [], "and settles them");
        group.nothing("nothing is delivered again").await;
    }
}

pub(crate) async fn from_now_owes_nothing_of_before(s: &Scene) {
    let topic = s.topic("orders").await;
    topic.publish_all(of_key("a", 3)).await;
    let groups = start(&topic, "now", FromNow).await;
    let after = topic.publish_all(of_key("a", 2)).await;
    owes(&groups, &after, "what comes after the subscription is owed").await;
}

pub(crate) async fn from_the_beginning_owes_everything(s: &Scene) {
    let topic = s.topic("orders").await;
    let empty = start(&topic, "empty", FromBeginning).await;
    let mut sent = topic.publish_keyed(&["a", "b", "a"]).await;
    topic.group("settles").await.drain().await;
    let groups = start(&topic, "beginning", FromBeginning).await;
    sent.extend(topic.publish_keyed(&["a", "b"]).await);
    owes(&groups, &sent, "everything that is kept is owed").await;
    owes(&empty, &sent, "also when there was nothing yet").await;
}

pub(crate) async fn from_a_message_owes_it_and_what_follows(s: &Scene) {
    let topic = s.topic("orders").await;
    let sent = topic.publish_all(of_key("a", 5)).await;
    let top = sent[4].0;
    for (from, expected) in [
        (MessageId(i64::MIN), &sent[..]),
        (MessageId(-1), &sent),
        (MessageId(0), &sent),
        (sent[0], &sent),
        (sent[3], &sent[3..]),
        (sent[4], &sent[4..]),
        (MessageId(top + 1), &[]),
        (MessageId(i64::MAX), &[]),
    ] {
        let groups = start(&topic, &format!("from {from}"), FromMessage(from)).await;
        owes(&groups, expected, "the message and what follows are owed").await;
    }
}

pub(crate) async fn from_a_message_to_come_owes_all_that_follows(s: &Scene) {
    let topic = s.topic("orders").await;
    let sent = topic.publish(2).await;
    let far = FromMessage(MessageId(sent[1].0 + 1000));
    let groups = start(&topic, "far", far).await;
    let after = topic.publish(3).await;
    owes(
        &groups,
        &after,
        "what commits after the subscription is owed whatever its id",
    )
    .await;
}

pub(crate) async fn from_a_time_owes_what_was_written_since(s: &Scene) {
    let topic = s.topic("orders").await;
    let began = s.now();
    let mut sent = Vec::new();
    for _ in 0..4 {
        sent.extend(topic.publish_all(of_key("a", 2)).await);
        s.advance(SECOND);
    }
    let tick = Duration::from_micros(1);
    for (name, at, expected) in [
        ("long ago", Timestamp::UNIX_EPOCH, &sent[..]),
        ("before", began - tick, &sent),
        ("first", began, &sent),
        ("behind the first", began + tick, &sent[2..]),
        ("third", began + SECOND * 2, &sent[4..]),
        ("behind the last", began + SECOND * 3 + tick, &[]),
        ("now", s.now(), &[]),
        ("to come", s.now() + SECOND * 3600, &[]),
    ] {
        let groups = start(&topic, name, FromTimestamp(at)).await;
        owes(&groups, expected, "what was written since then is owed").await;
    }
}

pub(crate) async fn a_time_is_the_first_message_of_then(s: &Scene) {
    let topic = s.topic("orders").await;
    let noon = s.now();
    let mut sent = topic.publish(1).await;
    s.clock.set(noon + SECOND);
    sent.extend(topic.publish(1).await);
    // The clock steps back.
    s.clock.set(noon);
    sent.extend(topic.publish(1).await);
    s.clock.set(noon + SECOND);
    sent.extend(topic.publish(1).await);
    let groups = start(&topic, "later", FromTimestamp(noon + SECOND)).await;
    owes(
        &groups,
        &sent[1..],
        "a start is one place in the log: all from the first message of that time on is owed",
    )
    .await;
}

pub(crate) async fn starts_on_an_empty_topic_are_all_alike(s: &Scene) {
    let topic = s.topic("orders").await;
    let mut groups = Vec::new();
    for (i, at) in [
        FromNow,
        FromBeginning,
        FromMessage(MessageId(1)),
        FromMessage(MessageId(7)),
        FromTimestamp(s.now()),
        FromTimestamp(s.now() + SECOND),
    ]
    .into_iter()
    .enumerate()
    {
        groups.extend(start(&topic, &format!("{i}"), at).await);
    }
    let sent = topic.publish_all(of_key("a", 3)).await;
    owes(&groups, &sent, "everything is owed that comes").await;
}

pub(crate) async fn subscribing_again_moves_nothing(s: &Scene) {
    let topic = s.topic("orders").await;
    let sent = topic.publish_all(of_key("a", 4)).await;
    let all = start(&topic, "all", FromBeginning).await;
    let some = start(&topic, "some", FromMessage(sent[2])).await;
    for (groups, was, expected) in [
        (&all, FromBeginning, &sent[..]),
        (&some, FromMessage(sent[2]), &sent[2..]),
    ] {
        for (group, (_, options)) in groups.iter().zip(both_orderings()) {
            for other in [FromNow, FromBeginning, FromMessage(sent[1])] {
                let again = group.start(other, options.clone()).await;
                let again = again.expect("a live group may subscribe again");
                assert_eq!(again.start, was, "where it started stays");
            }
            group.pause().await.expect("a live group can be paused");
            let resumed = group.start(FromBeginning, options).await;
            let resumed = resumed.expect("a paused group may subscribe again");
            assert_eq!(resumed.start, was, "also when that resumes it");
        }
        owes(groups, expected, "subscribing again moves nothing").await;
        for (group, (_, options)) in groups.iter().zip(both_orderings()) {
            let again = group.start(FromBeginning, options).await;
            again.expect("a live group may subscribe again");
        }
        owes(groups, &[], "and brings nothing back").await;
    }
}

pub(crate) async fn after_a_cancellation_any_start_counts(s: &Scene) {
    let topic = s.topic("orders").await;
    let sent = topic.publish_all(of_key("a", 4)).await;
    let groups = start(&topic, "again", FromBeginning).await;
    for (from, expected) in [
        (FromBeginning, &sent[..]),
        (FromMessage(sent[2]), &sent[2..]),
        (FromNow, &[]),
        (FromBeginning, &sent),
    ] {
        for (group, (_, options)) in groups.iter().zip(both_orderings()) {
            group.drain().await;
            group.cancel().await.expect("a group can be cancelled");
            let anew = group.start(from, options).await;
            anew.expect("a cancelled group may subscribe again");
        }
        owes(
            &groups,
            expected,
            "a new subscription owes what its start says, settled before or not",
        )
        .await;
    }
}

pub(crate) async fn a_start_in_the_past_concerns_no_other_group(s: &Scene) {
    let topic = s.topic("orders").await;
    let other = topic.group("other").await;
    let sent = topic.publish(6).await;
    let member = other.member().await;
    let held = take(&*member, 6).await;
    settle_all(&*member, &held[..3]).await;
    let before = other.stats().await;
    let groups = start(&topic, "late", FromBeginning).await;
    owes(&groups, &sent, "the late group owes everything").await;
    assert_eq!(
        other.stats().await,
        before,
        "the early one owes what it owed"
    );
    settle_all(&*member, &held[3..]).await;
    assert_eq!(other.pending().await, [], "and settles it as ever");
}

pub(crate) async fn what_is_owed_from_the_past_keeps_a_topic(s: &Scene) {
    for (name, options) in both_orderings() {
        let topic = s.topic(name).await;
        topic.publish(3).await;
        let group = topic.at("late");
        let made = group.start(FromBeginning, options).await;
        made.expect("a group may start anywhere");
        refused(
            topic.delete(DeleteTopic::IfSettled).await,
            &[ErrorKind::WouldLoseMessages],
            "what a start in the past owes is not deleted, from the subscription on",
        );
        group.drain().await;
        topic
            .delete(DeleteTopic::IfSettled)
            .await
            .expect("a topic that owes nothing can be deleted");
    }
}

pub(crate) async fn a_paused_group_keeps_what_its_start_owes(s: &Scene) {
    let topic = s.topic("orders").await;
    let sent = topic.publish_all(of_key("a", 3)).await;
    let groups = start(&topic, "paused", FromBeginning).await;
    for group in &groups {
        group.pause().await.expect("a live group can be paused");
        group.nothing("a paused group is delivered nothing").await;
        group.resume().await.expect("a paused group can be resumed");
    }
    owes(&groups, &sent, "a pause loses nothing of the past").await;
}

pub(crate) async fn fetching_alone_finds_the_past(s: &Scene) {
    let topic = s.topic("orders").await;
    let sent = topic.publish_all(of_key("a", 40)).await;
    for group in start(&topic, "alone", FromBeginning).await {
        let member = group.member().await;
        let held = take(&*member, 40).await;
        same_ids(
            ids(&held),
            sent.clone(),
            "repeated fetches return all that is owed, without anybody's maintenance",
        );
        settle_all(&*member, &held).await;
        assert_eq!(group.pending().await, [], "and it settles");
    }
}

pub(crate) async fn a_long_past_drains(s: &Scene) {
    let topic = s.topic("orders").await;
    let mut sent = Vec::new();
    for _ in 0..12 {
        let keys: Vec<_> = (0..250).map(|i| ["a", "b", "c", "d", "e"][i % 5]).collect();
        sent.extend(topic.publish_all(keyed(&keys)).await);
    }
    let groups = start(&topic, "long", FromMessage(sent[10])).await;
    owes(&groups, &sent[10..], "all of a long past is delivered once").await;
}

pub(crate) async fn past_and_present_keep_order(s: &Scene) {
    let topic = s.topic("orders").await;
    let mut sent = topic.publish_all(of_key("a", 5)).await;
    let group = topic.at("ordered");
    let made = group.start(FromBeginning, ordered()).await;
    made.expect("a group may start anywhere");
    let member = group.member().await;
    let mut got = take(&*member, 2).await;
    sent.extend(topic.publish_all(of_key("a", 5)).await);
    settle_all(&*member, &got).await;
    got.extend(group.drain_by(&*member).await);
    assert_eq!(
        ids(&got),
        sent,
        "what is published meanwhile comes after the past"
    );
}

pub(crate) async fn invalid_options_are_refused_at_any_start(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.at("billing");
    let bad = SubscriptionOptions {
        lease: LEASE * 100_000,
        ..options()
    };
    for from in [
        FromBeginning,
        FromMessage(MessageId(1)),
        FromTimestamp(s.now()),
    ] {
        refused(
            group.start(from, bad.clone()).await,
            &[ErrorKind::InvalidInput],
            "options are checked whatever the start",
        );
    }
    refused(
        group.subscription().await,
        &[ErrorKind::SubscriptionNotFound],
        "a refused subscribe makes no subscription",
    );
}

pub(crate) async fn open_publishers_are_owed_whatever_their_ids<H: Harness>(f: &Fixture<H>) {
    for commit in [true, false] {
        let topic = f.topic(if commit { "committed" } else { "undone" }).await;
        let first = topic.publish(1).await;
        let mut early = f.begin().await;
        let open = f.publish_all_in(&mut early, &topic, of_key("a", 2)).await;
        let seen = topic.publish_all(of_key("a", 2)).await;
        let mut late = f.begin().await;
        let later = f.publish_all_in(&mut late, &topic, of_key("b", 2)).await;
        let cases = [
            (FromNow, vec![]),
            (FromMessage(seen[1]), seen[1..].to_vec()),
            (FromMessage(open[1]), seen.clone()),
            (FromMessage(MessageId(later[1].0 + 1)), vec![]),
            (FromTimestamp(f.now() + SECOND), vec![]),
            (FromBeginning, [&first[..], &seen].concat()),
        ];
        let mut groups = Vec::new();
        for (i, (from, past)) in cases.into_iter().enumerate() {
            groups.push((start(&topic, &format!("{i}"), from).await, past));
        }
        for (groups, past) in &groups {
            for group in groups {
                for _ in 0..5 {
                    f.maintain().await;
                }
                assert_eq!(
                    group.pending().await,
                    *past,
                    "what has not committed is not owed yet"
                );
            }
        }
        if commit {
            late.commit().await.expect("it can be committed");
            early.commit().await.expect("it can be committed");
        } else {
            late.rollback().await.expect("it can be undone");
            early.rollback().await.expect("it can be undone");
        }
        let after = topic.publish(1).await;
        for (groups, past) in groups {
            let mut expected = [past, after.clone()].concat();
            if commit {
                expected.extend(open.iter().chain(&later));
            }
            expected.sort_unstable();
            for group in groups {
                f.maintain_until_idle().await;
                assert_eq!(
                    group.pending().await,
                    expected,
                    "what commits after a subscription is owed whatever its start and its ids"
                );
                same_ids(
                    ids(&group.drain().await),
                    expected.clone(),
                    "and is delivered once",
                );
                group.nothing("and not again").await;
            }
        }
    }
}

pub(crate) async fn publishers_meet_starts_in_the_past<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let before = topic.publish_all(of_key("a", 10)).await;
    let tasks = crate::stage::together(8, |i| {
        let (backend, topic) = (f.backend.clone(), topic.clone());
        async move {
            if i < 4 {
                return (start(&topic, &format!("{i}"), FromBeginning).await, vec![]);
            }
            let mut sent = Vec::new();
            for round in 0..6 {
                let mut tx = fanout_core::Transactional::begin(&*backend)
                    .await
                    .expect("one can be begun");
                let batch = of_key(&format!("key {i}"), 2);
                let ids =
                    fanout_core::Transactional::publish_in(&*backend, tx.tx(), topic.name(), batch)
                        .await
                        .expect("a good batch is published");
                tokio::task::yield_now().await;
                if (i + round) % 3 == 0 {
                    tx.rollback().await.expect("it can be undone");
                } else {
                    tx.commit().await.expect("it can be committed");
                    sent.extend(ids);
                }
            }
            (vec![], sent)
        }
    })
    .await;
    let mut all = before;
    let mut groups = Vec::new();
    for (made, sent) in tasks {
        groups.extend(made);
        all.extend(sent);
    }
    all.sort_unstable();
    owes(
        &groups,
        &all,
        "from the beginning everything is owed once, also what commits at that very moment",
    )
    .await;
}
