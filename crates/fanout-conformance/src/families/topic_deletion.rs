//! Deleting topics, and what comes after.

use std::time::Duration;

use fanout_core::{DeleteTopic, ErrorKind, MemberExt, Settlement};

use crate::stage::{Scene, ended, ids, messages, nothing, refused, same_ids, take};

pub(crate) async fn deleting_is_refused_while_messages_are_owed(s: &Scene) {
    let topic = s.topic("orders").await;
    let (billing, paused) = (topic.group("billing").await, topic.group("paused").await);
    let sent = topic.publish(5).await;
    paused.pause().await.expect("an active group can be paused");
    let promise = "a topic is not deleted while a group owes a settlement";
    let owed = &[ErrorKind::WouldLoseMessages];
    refused(topic.delete(DeleteTopic::IfSettled).await, owed, promise);

    paused
        .resume()
        .await
        .expect("a paused group can be resumed");
    paused.drain().await;
    paused.pause().await.expect("an active group can be paused");
    let member = billing.member().await;
    let held = take(&*member, 5).await;
    member.done(&held[0]).await.expect("it is held");
    member.fail(&held[1], "no").await.expect("it is held");
    member.release(&held[2]).await.expect("it is held");
    let refusal = topic.delete(DeleteTopic::IfSettled).await;
    let text = refusal
        .as_ref()
        .map_or_else(ToString::to_string, |()| String::new());
    refused(
        refusal,
        owed,
        "messages that are held, delayed or waiting are owed",
    );
    assert!(
        text.contains('4'),
        "the refusal says how many messages are owed (4): {text}"
    );
    s.advance(Duration::from_secs(60));
    same_ids(
        ids(&billing.drain().await),
        sent[..]
            .iter()
            .copied()
            .filter(|id| *id != held[0].message.id),
        "a refused deletion changes nothing",
    );
}

pub(crate) async fn one_group_that_owes_is_enough_to_refuse(s: &Scene) {
    let topic = s.topic("orders").await;
    let (billing, paused) = (topic.group("billing").await, topic.group("paused").await);
    topic.publish(2).await;
    billing.drain().await;
    paused.pause().await.expect("an active group can be paused");
    refused(
        topic.delete(DeleteTopic::IfSettled).await,
        &[ErrorKind::WouldLoseMessages],
        "what a paused group owes keeps the topic",
    );
}

pub(crate) async fn a_settled_topic_can_be_deleted(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(3).await;
    group.drain().await;
    topic
        .delete(DeleteTopic::IfSettled)
        .await
        .expect("a topic that owes nothing can be deleted");
    refused(
        s.backend.topic(topic.name()).await,
        &[ErrorKind::TopicNotFound],
        "a deleted topic is gone",
    );
    let topics = s.backend.topics().await.expect("topics can be listed");
    assert_eq!(topics, [], "a deleted topic is not listed");
}

pub(crate) async fn a_forced_deletion_takes_everything(s: &Scene) {
    let topic = s.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(4).await;
    let member = group.member().await;
    let held = take(&*member, 2).await;
    topic
        .delete(DeleteTopic::Forced)
        .await
        .expect("a forced deletion does not ask who owes what");
    refused(
        topic.try_publish(messages(1)).await,
        &[ErrorKind::TopicNotFound],
        "nothing can be published to a deleted topic",
    );
    refused(
        member.fetch(10).await,
        &ended(),
        "members of a deleted topic learn that it ended",
    );
    let settled = member.settle(&[Settlement::done(held[0].receipt)]).await;
    assert!(
        settled.map_or(true, |outcomes| !outcomes[0].is_effective()),
        "nothing is left to settle in a deleted topic"
    );
}

pub(crate) async fn a_recreated_topic_starts_empty(s: &Scene) {
    let topic = s.topic("orders").await;
    let old = s.backend.topic(topic.name()).await.expect("it was created");
    let group = topic.group("billing").await;
    topic.publish(3).await;
    let old_member = group.member().await;
    let held = take(&*old_member, 2).await;
    topic
        .delete(DeleteTopic::Forced)
        .await
        .expect("a forced deletion succeeds");

    s.topic("orders").await;
    let new = s.backend.topic(topic.name()).await.expect("it was created");
    assert_ne!(new.id, old.id, "a topic that is made again is another");
    let subscriptions = s.backend.subscriptions(topic.name()).await;
    assert_eq!(
        subscriptions.expect("subscriptions can be listed"),
        [],
        "a topic that is made again has no subscription"
    );
    refused(
        group.try_join().await,
        &[ErrorKind::SubscriptionNotFound],
        "groups of the old topic are not subscribed to the new one",
    );
    let group = topic.group("billing").await;
    assert!(
        group.pending().await.is_empty() && topic.accounting().await.is_empty(),
        "a topic that is made again has no message"
    );
    let member = group.member().await;
    nothing(&*member, "messages of the old topic are gone").await;
    topic.publish(3).await;
    refused(
        member.settle(&[Settlement::done(held[0].receipt)]).await,
        &[ErrorKind::ForeignReceipt],
        "a receipt of the old topic is foreign to the new one",
    );
    refused(
        old_member.fetch(10).await,
        &ended(),
        "members of the old topic get nothing from the new one",
    );
    assert_eq!(
        group.pending().await.len(),
        3,
        "nothing of the new topic was touched by members and receipts of the old one"
    );
}
