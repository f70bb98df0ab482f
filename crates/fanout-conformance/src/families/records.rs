//! Records of tracked messages: who must settle them and who has.

use std::collections::BTreeSet;
use std::time::Duration;

use fanout_core::{GroupName, MemberExt, MessageId, StartPosition};

use crate::Harness;
use crate::stage::{Fixture, Scene, TestGroup, TestTopic, ids, options, ordered, same_ids, take};

fn names(groups: &[&TestGroup]) -> BTreeSet<GroupName> {
    groups.iter().map(|group| group.name().clone()).collect()
}

async fn required(topic: &TestTopic, id: MessageId) -> BTreeSet<GroupName> {
    topic.record(id).await.required
}

pub(crate) async fn records_name_exactly_who_must_and_who_has(s: &Scene) {
    let topic = s.topic("orders").await;
    let (a, b) = (topic.group("a").await, topic.group("b").await);
    let sent = topic.publish(3).await;
    let (one, two) = (a.member().await, b.member().await);
    let (held_a, held_b) = (take(&*one, 3).await, take(&*two, 3).await);
    let of = |held: &[fanout_core::Delivery], id: MessageId| {
        let found = held.iter().find(|d| d.message.id == id);
        found.expect("all messages are held").clone()
    };
    one.done(&of(&held_a, sent[0])).await.expect("it is held");
    s.advance(Duration::from_secs(1));
    two.skip(&of(&held_b, sent[0])).await.expect("it is held");
    let completed_at = s.now();
    s.advance(Duration::from_secs(1));
    two.done(&of(&held_b, sent[1])).await.expect("it is held");
    two.fail(&of(&held_b, sent[2]), "no")
        .await
        .expect("it is held");
    one.release(&of(&held_a, sent[2]))
        .await
        .expect("it is held");

    let records = topic.accounting().await;
    let both = [a.name().clone(), b.name().clone()];
    let expected = [(2, Some(completed_at)), (1, None), (0, None)];
    assert_eq!(records.len(), 3, "there is one record for each message");
    for (id, (completed, at)) in sent.iter().zip(expected) {
        let record = &records[id];
        assert_eq!(
            record.required,
            both.clone().into(),
            "every subscribed group is required"
        );
        assert_eq!(
            record.completed.len(),
            completed,
            "done and skip complete, failing and releasing do not: {record:?}"
        );
        assert_eq!(
            record.completed_at, at,
            "a message is complete at the time of the last settlement, and not before"
        );
    }
    assert!(
        records[&sent[1]].completed.contains(b.name()),
        "the record names the group that settled"
    );
}

pub(crate) async fn records_can_be_read_in_pages(s: &Scene) {
    let topic = s.topic("orders").await;
    topic.group("billing").await;
    let sent = topic.publish(7).await;
    let page = async |after: MessageId, limit: usize| {
        let page = s.backend.accounting(topic.name(), after, limit).await;
        let page = page.expect("the accounting of a topic can be read");
        page.into_iter().map(|record| record.id).collect::<Vec<_>>()
    };
    assert_eq!(page(MessageId(0), 3).await, sent[..3], "at most `limit`");
    assert_eq!(page(sent[2], 3).await, sent[3..6], "above `after`");
    assert_eq!(page(sent[5], 100).await, sent[6..], "what is left");
    assert_eq!(page(sent[6], 100).await, [], "nothing above the last");
}

pub(crate) async fn f5_the_required_set_is_fixed_at_publish(s: &Scene) {
    let topic = s.topic("orders").await;
    let (a, b) = (topic.group("a").await, topic.group("b").await);
    let first = topic.publish(1).await[0];
    let c = topic.group("c").await;
    assert_eq!(
        required(&topic, first).await,
        names(&[&a, &b]),
        "a later subscription is not required to settle an earlier message"
    );
    let second = topic.publish(1).await[0];
    assert_eq!(
        required(&topic, second).await,
        names(&[&a, &b, &c]),
        "every group that is subscribed at publish is required"
    );
    b.pause().await.expect("an active group can be paused");
    let third = topic.publish(1).await[0];
    b.resume().await.expect("a paused group can be resumed");
    a.subscribe(options())
        .await
        .expect("it may subscribe again");
    s.maintain_until_idle().await;
    for (id, expected) in [
        (first, names(&[&a, &b])),
        (second, names(&[&a, &b, &c])),
        (third, names(&[&a, &b, &c])),
    ] {
        assert_eq!(
            required(&topic, id).await,
            expected,
            "pausing, resuming and subscribing again change no required set; a paused group counts"
        );
    }
}

pub(crate) async fn f5_a_cancellation_shrinks_by_that_group_only(s: &Scene) {
    let topic = s.topic("orders").await;
    let (a, b, c) = (
        topic.group("a").await,
        topic.group("b").await,
        topic.group("c").await,
    );
    let id = topic.publish(1).await[0];
    a.drain().await;
    b.cancel().await.expect("a group can be cancelled");
    s.maintain_until_idle().await;
    let record = topic.record(id).await;
    assert_eq!(
        (record.required, record.completed),
        (names(&[&a, &c]), names(&[&a])),
        "a cancellation takes its group out of the required set, and no other"
    );
    c.drain().await;
    let record = topic.record(id).await;
    assert_eq!(
        (record.required, record.completed),
        (names(&[&a, &c]), names(&[&a, &c])),
        "the others go on settling"
    );
}

pub(crate) async fn f5_a_cancellation_can_complete_a_message(s: &Scene) {
    let topic = s.topic("orders").await;
    let (a, b) = (topic.group("a").await, topic.group("b").await);
    let id = topic.publish(1).await[0];
    a.drain().await;
    assert_eq!(
        topic.record(id).await.completed_at,
        None,
        "a message is not complete while a required group has not settled it"
    );
    b.cancel().await.expect("a group can be cancelled");
    s.maintain_until_idle().await;
    assert!(
        topic.record(id).await.completed_at.is_some(),
        "a message is complete when all groups that are still required have settled it"
    );
}

pub(crate) async fn f5_a_group_that_settled_stays_completed_after_its_cancellation(s: &Scene) {
    let topic = s.topic("orders").await;
    let (a, b) = (topic.group("a").await, topic.group("b").await);
    let id = topic.publish(1).await[0];
    a.drain().await;
    a.cancel().await.expect("a group can be cancelled");
    s.maintain_until_idle().await;
    let record = topic.record(id).await;
    assert_eq!(
        (record.required, record.completed),
        (names(&[&a, &b]), names(&[&a])),
        "a cancellation takes its group out of the records that it has not settled, and no other"
    );
    assert_eq!(record.completed_at, None, "`b` has still to settle it");
    assert_eq!(b.pending().await, [id], "and still owes it");
}

pub(crate) async fn a_new_group_inherits_nothing_of_a_cancelled_one(s: &Scene) {
    let topic = s.topic("orders").await;
    let (a, b) = (topic.group("a").await, topic.group("b").await);
    let id = topic.publish(1).await[0];
    b.cancel().await.expect("a group can be cancelled");
    s.maintain_until_idle().await;
    let c = topic.group("c").await;
    let later = topic.publish(1).await[0];
    assert_eq!(
        (required(&topic, id).await, required(&topic, later).await),
        (names(&[&a]), names(&[&a, &c])),
        "a group that comes after a cancelled one is required for its own messages only"
    );
    same_ids(ids(&c.drain().await), [later], "and owes only those");
    a.drain().await;
    assert!(
        topic.record(id).await.completed_at.is_some(),
        "and is not waited for"
    );
}

pub(crate) async fn groups_of_order_stand_in_no_record(s: &Scene) {
    let topic = s.topic("orders").await;
    let any = topic.group("any").await;
    let strict = topic.group_with("strict", ordered()).await;
    let sent = topic.publish_keyed(&["a", "a"]).await;
    let records = topic.accounting().await;
    assert!(
        records.len() == 2 && records.values().all(|r| r.required == names(&[&any])),
        "a group that reads by cursor is in no record: {records:?}"
    );
    assert_eq!(strict.pending().await, sent, "though it owes the messages");
    strict.drain().await;
    assert!(
        topic.accounting().await == records,
        "and its settlements change none"
    );
    any.drain().await;
    topic.complete(&sent, "the others' settlements do").await;
}

pub(crate) async fn a_start_in_the_past_is_added_to_records(s: &Scene) {
    let topic = s.topic("orders").await;
    let (early, sent) = (topic.group("early").await, topic.publish(3).await);
    early.drain().await;
    topic.complete(&sent, "all groups have settled them").await;
    let late = topic.at("late");
    let made = late.start(StartPosition::FromMessage(sent[1]), options());
    made.await.expect("a group may start anywhere");
    s.maintain_until_idle().await;
    for (id, groups) in [
        (sent[0], &[&early][..]),
        (sent[1], &[&early, &late]),
        (sent[2], &[&early, &late]),
    ] {
        let record = topic.record(id).await;
        assert_eq!(
            (
                record.required,
                record.completed,
                record.completed_at.is_some()
            ),
            (names(groups), names(&[&early]), groups.len() == 1),
            "a group that starts in the past is required from its start on, and waited for"
        );
    }
    late.drain().await;
    topic.complete(&sent, "until it has settled").await;
}

/// Also when nobody has looked at the settlement since its transaction committed.
pub(crate) async fn what_a_transaction_settled_is_kept_by_seeks_and_cancellations<H: Harness>(
    f: &Fixture<H>,
) {
    let topic = f.topic("orders").await;
    let (moved, ended) = (topic.group("moved").await, topic.group("ended").await);
    let sent = topic.publish(2).await;
    for group in [&moved, &ended] {
        let held = take(&*group.member().await, 2).await;
        let first: Vec<_> = held
            .into_iter()
            .filter(|d| d.message.id == sent[0])
            .collect();
        let mut tx = f.begin().await;
        f.settle_in(&mut tx, &first).await.expect("it is held");
        tx.commit().await.expect("it can be committed");
    }
    let seek = moved.seek(StartPosition::FromNow);
    seek.await.expect("a live group can be moved");
    ended.cancel().await.expect("a live group can be cancelled");
    f.maintain_until_idle().await;
    topic
        .completed_by(sent[0], &[&moved, &ended], "who has settled stays")
        .await;
    topic
        .completed_by(sent[1], &[], "who will not is not waited for")
        .await;
    let rest = topic.record(sent[1]).await;
    assert_eq!(rest.required, names(&[]), "nobody is");
}

pub(crate) async fn a_seek_changes_records(s: &Scene) {
    let topic = s.topic("orders").await;
    let (moved, other) = (topic.group("moved").await, topic.group("other").await);
    let sent = topic.publish(3).await;
    other.drain().await;
    let seek = moved.seek(StartPosition::FromMessage(sent[1]));
    seek.await.expect("a live group can be moved");
    s.maintain_until_idle().await;
    let record = topic.record(sent[0]).await;
    assert_eq!(
        (record.required, record.completed_at.is_some()),
        (names(&[&other]), true),
        "what is skipped is not waited for"
    );
    for id in &sent[1..] {
        let record = topic.record(*id).await;
        assert_eq!(
            (record.required, record.completed_at),
            (names(&[&moved, &other]), None),
            "what is owed at the new position is"
        );
    }
    moved.drain().await;
    topic.complete(&sent, "until it is settled").await;

    let seek = moved.seek(StartPosition::FromBeginning);
    seek.await.expect("a live group can be moved");
    s.maintain_until_idle().await;
    for id in &sent {
        let record = topic.record(*id).await;
        assert_eq!(
            (record.required, record.completed_at),
            (names(&[&moved, &other]), None),
            "what is sought again is waited for again"
        );
    }
    moved.drain().await;
    topic.complete(&sent, "until it is settled again").await;
}
