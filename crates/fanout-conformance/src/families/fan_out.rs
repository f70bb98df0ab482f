//! Every group receives everything, at its own pace.

use std::collections::BTreeSet;

use fanout_core::{GroupName, MemberExt, MessageId};

use crate::stage::{
    Scene, TestGroup, TestTopic, ids, nothing, options, same_ids, settle_all, take,
};

fn names(groups: &[&TestGroup]) -> BTreeSet<GroupName> {
    groups.iter().map(|group| group.name().clone()).collect()
}

async fn required(topic: &TestTopic, id: MessageId) -> BTreeSet<GroupName> {
    topic.record(id).await.required
}

pub(crate) async fn every_group_receives_every_message(s: &Scene) {
    let topic = s.topic("orders").await;
    let groups = topic.groups(4).await;
    let mut sent = topic.publish(20).await;
    sent.extend(topic.publish(1).await);
    for group in &groups {
        let drained = group.drain().await;
        same_ids(
            ids(&drained),
            sent.clone(),
            "every subscribed group receives every message once",
        );
        for delivery in drained {
            assert!(
                delivery.message.payload.starts_with(b"message "),
                "every group receives the payload"
            );
        }
    }
}

pub(crate) async fn groups_go_at_their_own_pace(s: &Scene) {
    let topic = s.topic("orders").await;
    let (fast, slow) = (topic.group("fast").await, topic.group("slow").await);
    let sent = topic.publish(6).await;
    let slow_member = slow.member().await;
    let held = take(&*slow_member, 2).await;
    fast.drain().await;
    assert_eq!(
        (fast.pending().await, slow.pending().await),
        (vec![], sent.clone()),
        "what one group settles and holds is nothing to another"
    );
    settle_all(&*slow_member, &held[..1]).await;
    assert_eq!(slow.pending().await.len(), 5, "each settles for itself");
    let more = topic.publish(1).await;
    same_ids(
        ids(&fast.drain().await),
        more,
        "a slow group keeps nothing from a fast one",
    );
}

pub(crate) async fn a_later_group_gets_later_messages_only(s: &Scene) {
    let topic = s.topic("orders").await;
    let early = topic.group("early").await;
    let before = topic.publish(3).await;
    let late = topic.group("late").await;
    let after = topic.publish(3).await;
    same_ids(
        ids(&late.drain().await),
        after.clone(),
        "a group that starts from now gets what is published afterwards",
    );
    same_ids(
        ids(&early.drain().await),
        before.into_iter().chain(after),
        "a later group changes nothing for an earlier one",
    );
}

pub(crate) async fn members_share_a_groups_messages(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let (one, two) = (group.member().await, group.member().await);
    let sent = topic.publish(9).await;
    let mut got = take(&*one, 4).await;
    got.extend(take(&*two, 5).await);
    same_ids(
        ids(&got),
        sent,
        "each message goes to one member of a group, and none is left out",
    );
    nothing(
        &*one,
        "what the members hold is delivered to none of them again",
    )
    .await;
}

pub(crate) async fn topics_are_apart(s: &Scene) {
    let (orders, returns) = (s.topic("orders").await, s.topic("returns").await);
    let (a, b) = (
        orders.group("billing").await,
        returns.group("billing").await,
    );
    orders.publish(2).await;
    returns.publish(5).await;
    a.drain().await;
    assert_eq!(
        (a.pending().await.len(), b.pending().await.len()),
        (0, 5),
        "a group's subscriptions to two topics are two subscriptions"
    );
    a.cancel().await.expect("a group can be cancelled");
    let member = b.member().await;
    assert_eq!(
        take(&*member, 5).await.len(),
        5,
        "ending one of them leaves the other"
    );
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

pub(crate) async fn many_groups_are_told_apart(s: &Scene) {
    const GROUPS: usize = 70;
    let topic = s.topic("orders").await;
    let few = topic.groups(GROUPS).await;
    let id = topic.publish(1).await[0];
    let settled: Vec<_> = few.iter().step_by(3).collect();
    for group in &settled {
        let member = group.member().await;
        let delivery = take(&*member, 1).await.remove(0);
        member.done(&delivery).await.expect("it is held");
    }
    let record = topic.record(id).await;
    assert_eq!(record.required.len(), GROUPS, "all groups are required");
    assert_eq!(
        record.completed,
        names(&settled),
        "exactly those groups have settled that did"
    );
    for (i, group) in few.iter().enumerate() {
        let expected: &[MessageId] = if i % 3 == 0 { &[] } else { &[id] };
        assert_eq!(
            group.pending().await,
            expected,
            "exactly the others still owe it"
        );
    }
}
