//! Members: sessions of a group's consumers.

use std::time::Duration;

use fanout_core::{
    ErrorKind, JoinOptions, MemberName, Settlement, SubscriptionOptions, SubscriptionStatus,
};

use crate::stage::{LEASE, Scene, gather, ids, options, refused, same_ids, settle_all, take};

pub(crate) async fn joining_needs_a_live_subscription(s: &Scene) {
    let topic = s.topic("orders").await;
    refused(
        topic.at("billing").try_join().await,
        &[ErrorKind::SubscriptionNotFound],
        "a group that never subscribed cannot be joined",
    );
    let group = topic.group("billing").await;
    group.member().await;
    group.pause().await.expect("an active group can be paused");
    group
        .nothing("a paused group can be joined, and delivers nothing")
        .await;
    group.cancel().await.expect("a group can be cancelled");
    refused(
        group.try_join().await,
        &[ErrorKind::SubscriptionEnded],
        "a cancelled group cannot be joined",
    );
}

pub(crate) async fn a_member_knows_its_subscription_and_name(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let name = MemberName::new("worker 1").expect("a valid name");
    let member = s
        .backend
        .join(
            topic.name(),
            Some(group.name()),
            JoinOptions::named(name.clone()),
        )
        .await
        .expect("a member may have a name");
    assert_eq!(member.name(), &name, "a member has the name it asked for");
    let subscription = group.subscription().await.expect("it is subscribed");
    assert_eq!(
        member.subscription(),
        subscription,
        "a member knows the subscription that it joined"
    );
    let (one, two) = (group.member().await, group.member().await);
    assert!(
        !one.name().as_str().is_empty() && one.name() != two.name(),
        "members without a name get one each"
    );
}

pub(crate) async fn members_of_one_name_are_apart(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let name = MemberName::new("worker").expect("a valid name");
    let join = async || {
        let options = JoinOptions::named(name.clone());
        let joined = s
            .backend
            .join(topic.name(), Some(group.name()), options)
            .await;
        joined.expect("names of members need not be unique")
    };
    let members = [join().await, join().await];
    topic.publish(8).await;
    let held = gather(&members, 8).await;
    let [one, two] = members;
    one.leave().await.expect("a member can leave");
    same_ids(
        ids(&take(&*two, held[0].len()).await),
        ids(&held[0]),
        "leaving gives back what this member held, not what its namesake holds",
    );
    settle_all(&*two, &held[1]).await;
}

pub(crate) async fn a_member_that_left_is_closed(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(2).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    member.leave().await.expect("a member can leave");
    let (promise, closed) = ("a member that left is closed", &[ErrorKind::Closed]);
    refused(member.fetch(1).await, closed, promise);
    let settlement = Settlement::done(held[0].receipt);
    refused(member.settle(&[settlement]).await, closed, promise);
    refused(
        member.extend(&[held[0].receipt], LEASE).await,
        closed,
        promise,
    );
    refused(member.heartbeat().await, closed, promise);
    member.leave().await.expect("leaving again changes nothing");
    assert_eq!(group.pending().await.len(), 2, "nothing was settled by it");
}

pub(crate) async fn heartbeats_are_noted(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let member = group.member().await;
    let joined = member.subscription();
    s.advance(Duration::from_secs(10));
    let beaten = member.heartbeat().await.expect("the group is live");
    assert_eq!(
        beaten.last_heartbeat_at,
        s.now(),
        "a sign of life is dated by the engine's clock"
    );
    assert_eq!(
        (beaten.id, beaten.status, beaten.status_changed_at),
        (
            joined.id,
            SubscriptionStatus::Active,
            joined.status_changed_at
        ),
        "it changes nothing else"
    );
    assert_eq!(
        member.subscription(),
        beaten,
        "a member knows the subscription as of its last beat"
    );
    s.advance(Duration::from_secs(10));
    let beaten = group.heartbeat().await.expect("the group is live");
    assert_eq!(
        beaten.last_heartbeat_at,
        s.now(),
        "a group can give a sign of life without a member"
    );
    let read = group.subscription().await.expect("it is subscribed");
    assert_eq!(read, beaten, "signs of life are kept");
}

pub(crate) async fn a_beat_tells_of_changes(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    let member = group.member().await;
    group.pause().await.expect("an active group can be paused");
    let beaten = member.heartbeat().await.expect("a paused group may beat");
    assert_eq!(
        beaten.status,
        SubscriptionStatus::Paused,
        "a beat reads the status, and does not change that of a paused group"
    );
    let lease = LEASE * 2;
    let changed = SubscriptionOptions { lease, ..options() };
    group
        .subscribe(changed)
        .await
        .expect("it may subscribe again");
    let beaten = member.heartbeat().await.expect("an active group may beat");
    assert_eq!(
        (beaten.status, beaten.options.lease),
        (SubscriptionStatus::Active, lease),
        "a beat reads the options"
    );
}
