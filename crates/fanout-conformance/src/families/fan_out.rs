//! Every group receives everything, at its own pace.

use fanout_core::{MemberExt, MessageId};

use crate::stage::{Scene, gather, ids, nothing, same_ids, settle_all, take};

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
    let members = group.members(2).await;
    let sent = topic.publish(9).await;
    let got = gather(&members, 9).await.concat();
    same_ids(
        ids(&got),
        sent,
        "each message goes to one member of a group, and none is left out",
    );
    for member in &members {
        nothing(
            &**member,
            "what the members hold is delivered to none of them again",
        )
        .await;
    }
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
    topic
        .completed_by(id, &settled, "exactly those groups have settled that did")
        .await;
    for (i, group) in few.iter().enumerate() {
        let expected: &[MessageId] = if i % 3 == 0 { &[] } else { &[id] };
        assert_eq!(
            group.pending().await,
            expected,
            "exactly the others still owe it"
        );
    }
}
