//! Subscriptions: their life, and what each stage of it means.

use std::time::Duration;

use fanout_core::{
    DeleteTopic, ErrorKind, Extension, MemberExt, MessageId, Outcome, Settlement, StartPosition,
    SubscriptionStatus,
};

use crate::stage::{LEASE, Scene, ids, nothing, outcomes, refused, same_ids, settle_all, take};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn a_group_that_never_subscribed_is_unknown(s: &Scene) {
    let topic = s.topic("orders").await;
    topic.group("another").await;
    let group = topic.at("billing");
    let promise = "a group that never subscribed is reported as such";
    let kinds = &[ErrorKind::SubscriptionNotFound];
    refused(group.pause().await, kinds, promise);
    refused(group.resume().await, kinds, promise);
    refused(group.cancel().await, kinds, promise);
    refused(group.heartbeat().await, kinds, promise);
    let sought = group.seek(StartPosition::FromBeginning).await;
    refused(sought, kinds, promise);
    refused(group.subscription().await, kinds, promise);
    refused(group.try_join().await, kinds, promise);
    let pending = s
        .backend
        .pending(topic.name(), group.name(), MessageId(0), 10)
        .await;
    refused(pending, kinds, promise);
}

pub(crate) async fn a_paused_group_accumulates(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let member = group.member().await;
    let before = topic.publish(2).await;
    let paused = group.pause().await.expect("an active group can be paused");
    assert_eq!(paused.status, SubscriptionStatus::Paused, "it says so");
    let meanwhile = topic.publish(3).await;
    nothing(&*member, "a paused group is delivered nothing").await;
    let all: Vec<_> = before.into_iter().chain(meanwhile).collect();
    assert_eq!(
        group.pending().await,
        all,
        "a paused group owes what is published meanwhile"
    );
    if s.tracks() {
        for id in &all {
            let required = topic.record(*id).await.required;
            assert!(
                required.contains(group.name()),
                "and is required to settle it"
            );
        }
    }
    let resumed = group.resume().await.expect("a paused group can be resumed");
    assert_eq!(resumed.status, SubscriptionStatus::Active, "it says so");
    let held = take(&*member, 5).await;
    same_ids(ids(&held), all, "a resumed group is delivered all of it");
    settle_all(&*member, &held).await;
}

pub(crate) async fn what_is_in_hand_settles_while_paused(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let sent = topic.publish(5).await;
    let member = group.member().await;
    let held = take(&*member, 5).await;
    group.pause().await.expect("an active group can be paused");
    let outcomes = member
        .settle(&[
            Settlement::done(held[0].receipt),
            Settlement::skip(held[1].receipt),
            Settlement::fail(held[2].receipt, "no"),
            Settlement::release(held[3].receipt),
        ])
        .await
        .expect("what is in hand can be settled");
    let due = s.now() + SECOND;
    assert_eq!(
        outcomes,
        [
            Outcome::Applied,
            Outcome::Applied,
            Outcome::Retry { due },
            Outcome::Applied
        ],
        "a pause does not make receipts stale"
    );
    let until = s.now() + LEASE * 2;
    let extended = member.extend(&[held[4].receipt], LEASE * 2).await;
    assert_eq!(
        extended.expect("it is held"),
        [Extension::Extended { until }],
        "nor keep leases from being extended"
    );
    nothing(&*member, "what was failed and released waits").await;
    s.clock.set(until);
    nothing(&*member, "so does what was lost").await;
    group.resume().await.expect("a paused group can be resumed");
    let settled = [held[0].message.id, held[1].message.id];
    let rest = sent.into_iter().filter(|id| !settled.contains(id));
    same_ids(
        ids(&group.drain_by(&*member).await),
        rest,
        "and comes again after the pause",
    );
}

pub(crate) async fn status_changes_are_dated(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let made = group.subscription().await.expect("it is subscribed");
    s.advance(SECOND);
    let same = group
        .resume()
        .await
        .expect("an active group may be resumed");
    assert_eq!(same, made, "resuming an active group changes nothing");
    let paused = group.pause().await.expect("an active group can be paused");
    assert_eq!(
        (paused.status_changed_at, paused.subscribed_at, paused.id),
        (s.now(), made.subscribed_at, made.id),
        "a change of status is dated; it makes no other subscription"
    );
    s.advance(SECOND);
    let same = group.pause().await.expect("a paused group may be paused");
    assert_eq!(same, paused, "pausing a paused group changes nothing");
    let resumed = group.resume().await.expect("a paused group can be resumed");
    assert_eq!(resumed.status_changed_at, s.now(), "so is the next");
    s.advance(SECOND);
    let cancelled = group.cancel().await.expect("a group can be cancelled");
    assert_eq!(
        (cancelled.status, cancelled.status_changed_at, cancelled.id),
        (SubscriptionStatus::Cancelled, s.now(), made.id),
        "and the last"
    );
    s.advance(SECOND);
    let same = group.cancel().await.expect("it may be cancelled again");
    assert_eq!(same, cancelled, "cancelling again changes nothing");
    let read = group.subscription().await.expect("it is kept");
    assert_eq!(
        read, cancelled,
        "a cancelled subscription is kept as history"
    );
}

pub(crate) async fn a_cancellation_is_final(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(5).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    group.cancel().await.expect("a group can be cancelled");

    let promise = "a cancelled subscription has ended";
    let kinds = &[ErrorKind::SubscriptionEnded];
    refused(member.fetch(10).await, kinds, promise);
    refused(member.heartbeat().await, kinds, promise);
    refused(group.heartbeat().await, kinds, promise);
    refused(group.try_join().await, kinds, promise);
    let late = [
        Settlement::done(held[0].receipt),
        Settlement::fail(held[1].receipt, "no"),
    ];
    assert_eq!(
        outcomes(&*member, &late).await,
        [Outcome::Stale; 2],
        "receipts of a cancelled subscription are stale"
    );
    let extended = member.extend(&[held[0].receipt], LEASE).await;
    assert_eq!(
        extended.expect("stale is no error of the call"),
        [Extension::Stale],
        "for extensions too"
    );
    let kinds = &[ErrorKind::InvalidTransition];
    refused(group.pause().await, kinds, "it cannot be paused");
    refused(group.resume().await, kinds, "nor resumed");
    member.leave().await.expect("its members can leave");
}

pub(crate) async fn a_cancelled_group_holds_nothing_back(s: &Scene) {
    let topic = s.topic("orders").await;
    let (a, b) = (topic.group("a").await, topic.group("b").await);
    let sent = topic.publish(4).await;
    let member = a.member().await;
    let held = take(&*member, 3).await;
    settle_all(&*member, &held[..1]).await;
    member.fail(&held[1], "no").await.expect("it is held");
    a.cancel().await.expect("a group can be cancelled");
    assert_eq!(a.pending().await, [], "a cancelled group owes nothing");
    let stats = topic.stats().await;
    assert_eq!(
        stats.iter().map(|stats| &stats.group).collect::<Vec<_>>(),
        [b.name()],
        "figures are of live groups"
    );
    assert_eq!(b.pending().await, sent, "the other group owes what it owed");
    refused(
        topic.delete(DeleteTopic::IfSettled).await,
        &[ErrorKind::WouldLoseMessages],
        "the other group still holds the topic",
    );
    s.maintain_until_idle().await;
    if s.tracks() {
        for record in topic.accounting().await.into_values() {
            assert!(
                record.required.contains(b.name()) && record.completed_at.is_none(),
                "the other group is still required: {record:?}"
            );
        }
    }
    same_ids(
        ids(&b.drain().await),
        sent.clone(),
        "and is delivered all messages",
    );
    topic
        .complete(&sent, "the cancelled group is not waited for")
        .await;
    let later = topic.publish(1).await;
    b.drain().await;
    topic
        .complete(&later, "nor required for later messages")
        .await;
    topic
        .delete(DeleteTopic::IfSettled)
        .await
        .expect("a cancelled group does not keep a topic");
}

pub(crate) async fn the_only_group_can_be_cancelled(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(3).await;
    group.cancel().await.expect("a group can be cancelled");
    topic
        .delete(DeleteTopic::IfSettled)
        .await
        .expect("from its cancellation on a group does not keep a topic, without any upkeep");
}

pub(crate) async fn a_paused_group_can_be_cancelled(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(2).await;
    group.pause().await.expect("an active group can be paused");
    let cancelled = group
        .cancel()
        .await
        .expect("a paused group can be cancelled");
    assert_eq!(
        cancelled.status,
        SubscriptionStatus::Cancelled,
        "it says so"
    );
    assert_eq!(group.pending().await, [], "and it owes nothing");
    topic
        .delete(DeleteTopic::IfSettled)
        .await
        .expect("and does not keep the topic");
}
