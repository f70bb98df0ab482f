//! Queue topics: one built-in subscription, consumers that name no group.

use fanout_core::{ErrorKind, GroupName, JoinOptions, SubscriptionStatus};

use crate::stage::{Scene, gather, ids, nothing, options, refused, same_ids, settle_all, take};

pub(crate) async fn a_queue_has_its_subscription_from_the_start(s: &Scene) {
    let queue = s.queue("jobs").await;
    let listed = s.backend.subscriptions(queue.name()).await;
    let listed = listed.expect("subscriptions can be listed");
    assert_eq!(listed.len(), 1, "a queue has one subscription: {listed:?}");
    assert_eq!(
        (&listed[0].group, listed[0].status),
        (&GroupName::queue(), SubscriptionStatus::Active),
        "it is the built-in one, and active"
    );
    let read = queue.queue_group().subscription().await;
    assert_eq!(
        read.expect("it can be read by its name"),
        listed[0],
        "it reads as it is listed"
    );
}

pub(crate) async fn consumers_of_a_queue_share_its_messages(s: &Scene) {
    let queue = s.queue("jobs").await;
    let sent = queue.publish(10).await;
    let members = queue.queue_group().members(2).await;
    let got = gather(&members, 10).await.concat();
    same_ids(
        ids(&got),
        sent,
        "each message of a queue goes to one consumer, and none is left out",
    );
    settle_all(&*members[0], &got).await;
    let pending = queue.queue_group().pending().await;
    assert_eq!(pending, [], "a settled message of a queue is done with");
}

pub(crate) async fn a_queue_keeps_what_came_before_its_consumers(s: &Scene) {
    let queue = s.queue("jobs").await;
    let sent = queue.publish(3).await;
    let consumer = queue.consumer().await;
    same_ids(
        ids(&take(&*consumer, 3).await),
        sent,
        "a queue is owed everything since it was created",
    );
}

pub(crate) async fn groups_cannot_subscribe_to_a_queue(s: &Scene) {
    let queue = s.queue("jobs").await;
    for name in ["billing", "queue"] {
        refused(
            queue.at(name).subscribe(options()).await,
            &[ErrorKind::InvalidInput],
            "a queue has its one subscription and takes no other",
        );
    }
    let listed = s.backend.subscriptions(queue.name()).await;
    assert_eq!(
        listed.expect("subscriptions can be listed").len(),
        1,
        "a refused subscribe makes none"
    );
}

pub(crate) async fn joining_names_a_group_exactly_where_there_are_groups(s: &Scene) {
    let (queue, topic) = (s.queue("jobs").await, s.topic("orders").await);
    topic.group("billing").await;
    for group in [GroupName::queue(), topic.at("billing").name().clone()] {
        let joined = s
            .backend
            .join(queue.name(), Some(&group), JoinOptions::default())
            .await;
        refused(
            joined,
            &[ErrorKind::InvalidInput],
            "consumers of a queue name no group",
        );
    }
    let joined = s
        .backend
        .join(topic.name(), None, JoinOptions::default())
        .await;
    refused(
        joined,
        &[ErrorKind::InvalidInput],
        "members of a pub/sub topic name their group",
    );
}

pub(crate) async fn a_queue_can_be_paused_but_not_cancelled(s: &Scene) {
    let queue = s.queue("jobs").await;
    let group = queue.queue_group();
    let consumer = queue.consumer().await;
    refused(
        group.cancel().await,
        &[ErrorKind::InvalidTransition],
        "the subscription of a queue cannot be cancelled",
    );
    let paused = group.pause().await.expect("a queue can be paused");
    assert_eq!(paused.status, SubscriptionStatus::Paused, "it says so");
    let sent = queue.publish(2).await;
    nothing(&*consumer, "a paused queue delivers nothing").await;
    group
        .heartbeat()
        .await
        .expect("a queue takes signs of life");
    group.resume().await.expect("a paused queue can be resumed");
    same_ids(
        ids(&take(&*consumer, 2).await),
        sent,
        "a resumed queue delivers what it was sent meanwhile",
    );
}
