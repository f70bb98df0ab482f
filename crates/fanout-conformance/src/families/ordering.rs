//! Order per key.

use fanout_core::{ErrorKind, MemberExt, NewMessage, Outcome, Settlement};

use crate::stage::{
    LEASE, Scene, TestGroup, TestTopic, both_orderings, by_key, fetch, gather, ids, in_order,
    keyed, nothing, of_key, ordered, outcomes, refused, same_ids, settle_all, take,
};

const APPLIED: Outcome = Outcome::Applied;
const EARLY: Outcome = Outcome::OutOfOrder;

async fn ordered_group(s: &Scene) -> (TestTopic, TestGroup) {
    let topic = s.topic("orders").await;
    let group = topic.group_with("billing", ordered()).await;
    (topic, group)
}

pub(crate) async fn messages_of_a_key_are_delivered_in_order(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let mut sent = Vec::new();
    for _ in 0..5 {
        let keys = ["a", "b", "a", "c", "", "d", "a", "b", "e", ""];
        sent.extend(topic.publish_keyed(&keys).await);
        sent.extend(topic.publish(3).await);
    }
    let drained = group.drain().await;
    same_ids(ids(&drained), sent, "all messages are delivered once");
    in_order(&drained, "messages of a key are delivered in order");
    assert_eq!(by_key(&drained)[""].len(), 10, "an empty key is a key");
}

pub(crate) async fn order_holds_over_many_fetches(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let member = group.member().await;
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    for round in 1..=12 {
        for _ in 0..round % 3 + 1 {
            sent.extend(topic.publish_keyed(&["a", "b", "a", "c"]).await);
        }
        let deliveries = fetch(&*member, round).await;
        settle_all(&*member, &deliveries).await;
        got.extend(deliveries);
    }
    got.extend(group.drain_by(&*member).await);
    same_ids(ids(&got), sent, "all messages are delivered once");
    in_order(&got, "order holds from fetch to fetch");
}

pub(crate) async fn a_member_may_hold_several_messages_of_a_key(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let sent = topic.publish_all(of_key("a", 6)).await;
    let member = group.member().await;
    let held = take(&*member, 6).await;
    assert_eq!(
        ids(&held),
        sent,
        "messages of a key are delivered in order, also before the first of them is settled"
    );
    settle_all(&*member, &held).await;
}

pub(crate) async fn what_is_behind_a_message_in_hand_goes_to_nobody_else(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let sent = topic.publish_all(of_key("a", 3)).await;
    let one = group.member().await;
    let first = take(&*one, 1).await;
    assert_eq!(ids(&first), sent[..1], "the first comes first");
    let two = group.member().await;
    let promise = "while a message is in hand no other member gets what is behind it";
    nothing(&*two, promise).await;
    settle_all(&*one, &first).await;
    let rest = gather(&[one, two], 2).await;
    for held in &rest {
        in_order(held, "and then each member gets them in order");
    }
    same_ids(ids(&rest.concat()), sent[1..].to_vec(), "all of them");
}

pub(crate) async fn settling_before_an_earlier_message_is_refused(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let sent = topic.publish_all(of_key("a", 3)).await;
    let member = group.member().await;
    let held = take(&*member, 3).await;
    let promise = "what is behind an unsettled message of its key is not settled";
    let early = &[ErrorKind::OutOfOrder];
    refused(member.done(&held[1]).await, early, promise);
    refused(member.skip(&held[1]).await, early, promise);
    refused(member.fail(&held[2], "no").await, early, promise);
    assert_eq!(group.pending().await, sent, "and nothing changes");
    assert_eq!(
        topic.dead_letters().await,
        [],
        "no failure that was refused counts"
    );
    for delivery in &held {
        let settled = member.done(delivery).await;
        settled.expect("in order the same receipts settle");
    }
    assert_eq!(group.pending().await, [], "all are settled");
}

pub(crate) async fn any_settlement_opens_the_way(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    topic.publish_all(of_key("a", 4)).await;
    let member = group.member().await;
    let held = take(&*member, 4).await;
    member.skip(&held[0]).await.expect("it is the first");
    member
        .done(&held[1])
        .await
        .expect("a skipped one is settled");
    let failed = member.fail(&held[2], "no").await;
    failed.expect("a handled one is settled");
    let settled = member.done(&held[3]).await;
    settled.expect("a message that failed is set aside");
    assert_eq!(
        group.pending().await,
        [held[2].message.id],
        "the failed one alone is owed"
    );
}

pub(crate) async fn a_call_is_judged_in_the_order_of_delivery(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    topic.publish_all(of_key("a", 4)).await;
    let member = group.member().await;
    let held = take(&*member, 4).await;
    let settlements = [
        Settlement::done(held[3].receipt),
        Settlement::skip(held[1].receipt),
        Settlement::done(held[2].receipt),
        Settlement::done(held[0].receipt),
    ];
    assert_eq!(
        outcomes(&*member, &settlements).await,
        [APPLIED; 4],
        "in which order settlements stand in a call is no matter"
    );
    assert_eq!(group.pending().await, [], "all are settled");
}

pub(crate) async fn of_a_call_only_what_comes_too_early_is_refused(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    topic.publish_keyed(&["a", "b", "a", "b", "a", "b"]).await;
    let member = group.member().await;
    let mut held = take(&*member, 6).await;
    held.sort_by_key(|delivery| delivery.message.id);
    let settlements = [
        Settlement::done(held[4].receipt),
        Settlement::done(held[0].receipt),
        Settlement::done(held[1].receipt),
        Settlement::done(held[3].receipt),
        Settlement::skip(held[5].receipt),
    ];
    assert_eq!(
        outcomes(&*member, &settlements).await,
        [EARLY, APPLIED, APPLIED, APPLIED, APPLIED],
        "a settlement that comes too early keeps no other from its effect"
    );
    let rest = [
        Settlement::done(held[2].receipt),
        Settlement::done(held[4].receipt),
    ];
    assert_eq!(
        outcomes(&*member, &rest).await,
        [APPLIED; 2],
        "a receipt that came too early stays good"
    );
}

pub(crate) async fn a_key_waits_for_no_other(s: &Scene) {
    // One lane, so that all of them share it.
    let topic = s.topic_of_lanes("orders", 1).await;
    let group = topic.group_with("billing", ordered()).await;
    let batch = [
        keyed(&["a", "b", ""]),
        vec![NewMessage::new("no key"), NewMessage::new("no key")],
    ];
    topic.publish_all(batch.concat()).await;
    let member = group.member().await;
    let mut held = take(&*member, 5).await;
    held.sort_by_key(|delivery| delivery.message.id);
    for delivery in held.iter().rev() {
        let settled = member.done(delivery).await;
        settled.expect("messages of other keys, and those without, are settled in any order");
    }
}

pub(crate) async fn a_released_message_keeps_its_place(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let sent = topic.publish_all(of_key("a", 4)).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    member
        .release(&held[0])
        .await
        .expect("releasing is never early");
    refused(
        member.done(&held[1]).await,
        &[ErrorKind::OutOfOrder],
        "a released message is unsettled, so what is behind it waits",
    );
    let again = take(&*member, 3).await;
    let order: Vec<_> = [sent[0], sent[2], sent[3]].into();
    assert_eq!(ids(&again), order, "it is delivered before what is behind");
    settle_all(&*member, &again[..1]).await;
    settle_all(&*member, &held[1..]).await;
    settle_all(&*member, &again[1..]).await;
}

pub(crate) async fn released_messages_come_back_in_order(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let sent = topic.publish_all(of_key("a", 4)).await;
    let member = group.member().await;
    let held = take(&*member, 3).await;
    for place in [1, 2, 0] {
        let released = member.release(&held[place]).await;
        released.expect("releasing is never early");
    }
    let again = take(&*member, 4).await;
    assert_eq!(ids(&again), sent, "whatever order they were released in");
    assert!(
        again.iter().all(|delivery| delivery.attempt == 1),
        "releasing is no failed attempt"
    );
    settle_all(&*member, &again).await;
}

pub(crate) async fn a_release_and_a_settlement_in_one_call_keep_order(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    topic.publish_all(of_key("a", 3)).await;
    let member = group.member().await;
    let held = take(&*member, 3).await;
    let settlements = [
        Settlement::done(held[2].receipt),
        Settlement::release(held[1].receipt),
        Settlement::done(held[0].receipt),
    ];
    assert_eq!(
        outcomes(&*member, &settlements).await,
        [EARLY, APPLIED, APPLIED],
        "behind what a call releases nothing is settled"
    );
    let again = take(&*member, 1).await;
    assert_eq!(again[0].message, held[1].message, "it comes again");
    settle_all(&*member, &again).await;
    settle_all(&*member, &held[2..]).await;
}

pub(crate) async fn redelivery_keeps_order(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let sent = topic
        .publish_keyed(&["a", "b", "a", "b", "a", "b", "a", "b"])
        .await;
    let one = group.member().await;
    let held = take(&*one, 6).await;
    let first: Vec<_> = held
        .iter()
        .filter(|delivery| delivery.message.id <= sent[1])
        .cloned()
        .collect();
    settle_all(&*one, &first).await;
    drop(one);
    s.lapse();
    let two = group.member().await;
    let again = take(&*two, 6).await;
    in_order(&again, "after a crash each key goes on in order");
    same_ids(
        ids(&again),
        sent[2..].to_vec(),
        "from its first unsettled message",
    );
    two.leave().await.expect("a member can leave");
    let drained = group.drain().await;
    in_order(&drained, "and after a member left");
    same_ids(ids(&drained), sent[2..].to_vec(), "the same");
}

pub(crate) async fn an_expired_message_comes_before_what_is_behind_it(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let sent = topic.publish_all(of_key("a", 3)).await;
    let member = group.member().await;
    let old = take(&*member, 1).await;
    s.advance(LEASE);
    let again = take(&*member, 3).await;
    assert_eq!(
        ids(&again),
        sent,
        "a message whose lease ended is delivered before what is behind it"
    );
    let settlements = [
        Settlement::done(old[0].receipt),
        Settlement::done(again[1].receipt),
    ];
    assert_eq!(
        outcomes(&*member, &settlements).await,
        [Outcome::Stale, EARLY],
        "a stale receipt does not open the way"
    );
    settle_all(&*member, &again).await;
}

pub(crate) async fn an_extended_lease_keeps_what_is_behind(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let sent = topic.publish_all(of_key("a", 3)).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    let extended = member.extend(&[held[0].receipt], LEASE * 3).await;
    extended.expect("it is held");
    s.advance(LEASE);
    let again = take(&*member, 2).await;
    assert_eq!(
        ids(&again),
        sent[1..],
        "what is behind comes to the member that holds the first"
    );
    refused(
        member.done(&again[0]).await,
        &[ErrorKind::OutOfOrder],
        "and waits for it",
    );
    settle_all(&*member, &held[..1]).await;
    settle_all(&*member, &again).await;
}

pub(crate) async fn with_one_attempt_a_failure_opens_the_way(s: &Scene) {
    let topic = s.topic("orders").await;
    let options = fanout_core::SubscriptionOptions {
        max_attempts: 1,
        ..ordered()
    };
    let group = topic.group_with("billing", options).await;
    topic.publish_all(of_key("a", 2)).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    let both = [
        Settlement::done(held[1].receipt),
        Settlement::fail(held[0].receipt, "no"),
    ];
    assert_eq!(
        outcomes(&*member, &both).await,
        [APPLIED, Outcome::DeadLettered],
        "a dead letter is settled, so what is behind it goes on"
    );
    assert_eq!(group.pending().await, [], "both are settled");
}

pub(crate) async fn groups_of_either_ordering_share_a_topic(s: &Scene) {
    let topic = s.topic("orders").await;
    let mut groups = Vec::new();
    for (name, options) in both_orderings() {
        groups.push(topic.group_with(name, options).await);
    }
    let sent = topic.publish_keyed(&["a", "b", "a", "b", "a"]).await;
    let held = [
        take(&*groups[0].member().await, 5).await,
        take(&*groups[1].member().await, 5).await,
    ];
    in_order(&held[1], "the ordered group gets them in order");
    let (any, strict) = (groups[0].member().await, groups[1].member().await);
    let last = |held: &[fanout_core::Delivery]| {
        let last = held.iter().find(|d| d.message.id == sent[4]);
        last.expect("all are held").clone()
    };
    any.done(&last(&held[0]))
        .await
        .expect("a group without order settles in any");
    refused(
        strict.done(&last(&held[1])).await,
        &[ErrorKind::OutOfOrder],
        "a group of order does not",
    );
    assert_eq!(
        (groups[0].pending().await.len(), groups[1].pending().await),
        (4, sent),
        "each settles for itself"
    );
}

pub(crate) async fn order_holds_from_before_a_pause_to_after(s: &Scene) {
    let (topic, group) = ordered_group(s).await;
    let mut sent = topic.publish_all(of_key("a", 3)).await;
    let member = group.member().await;
    let held = take(&*member, 1).await;
    group.pause().await.expect("a live group can be paused");
    sent.extend(topic.publish_all(of_key("a", 2)).await);
    nothing(&*member, "a paused group gets nothing").await;
    settle_all(&*member, &held).await;
    group.resume().await.expect("a paused group can be resumed");
    let rest = group.drain_by(&*member).await;
    assert_eq!(ids(&rest), sent[1..], "in order, and all of it");
}
