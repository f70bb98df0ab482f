//! Topics that nobody is subscribed to.

use fanout_core::{ErrorKind, TopicConfig, TopicUpdate, Transactional};

use crate::Harness;
use crate::stage::{Fixture, Scene, ids, messages, refused, same_ids};

const REFUSED: &[ErrorKind] = &[ErrorKind::NoSubscriptions];

fn blocking(s: &Scene) -> TopicConfig {
    TopicConfig {
        block_writes_on_zero_subscriptions: true,
        ..s.config()
    }
}

pub(crate) async fn f6_writes_are_blocked_with_an_error_of_their_own(s: &Scene) {
    let topic = s.topic_with("orders", blocking(s)).await;
    refused(
        topic.try_publish(messages(2)).await,
        REFUSED,
        "a topic that asks for it blocks writes while no group is subscribed",
    );
    let group = topic.group("billing").await;
    let sent = topic.publish(2).await;
    same_ids(
        ids(&group.drain().await),
        sent,
        "with a group subscribed writes pass, and what was blocked was not stored",
    );
}

pub(crate) async fn f6_writes_in_transactions_are_blocked_when_they_are_made<H: Harness>(
    f: &Fixture<H>,
) {
    let topic = f.topic_with("orders", blocking(f)).await;
    let mut tx = f.begin().await;
    let published = f
        .backend
        .publish_in(tx.tx(), topic.name(), messages(1))
        .await;
    refused(published, REFUSED, "blocking holds in transactions too");
    tx.rollback().await.expect("a transaction can be undone");

    let group = topic.group("billing").await;
    let mut tx = f.begin().await;
    let sent = f.publish_in(&mut tx, &topic, 2).await;
    tx.commit().await.expect("it can be committed");
    same_ids(
        ids(&group.drain().await),
        sent,
        "with a group subscribed writes pass in transactions too",
    );
}

pub(crate) async fn f6_a_paused_group_keeps_a_topic_open(s: &Scene) {
    let topic = s.topic_with("orders", blocking(s)).await;
    let group = topic.group("billing").await;
    group.pause().await.expect("an active group can be paused");
    let sent = topic.publish(1).await;
    assert_eq!(
        group.pending().await,
        sent,
        "a paused group counts, so writes are not blocked"
    );
}

pub(crate) async fn f6_the_last_cancellation_blocks_again(s: &Scene) {
    let topic = s.topic_with("orders", blocking(s)).await;
    let (billing, audit) = (topic.group("billing").await, topic.group("audit").await);
    billing.cancel().await.expect("a group can be cancelled");
    topic.publish(1).await;
    audit.cancel().await.expect("a group can be cancelled");
    refused(
        topic.try_publish(messages(1)).await,
        REFUSED,
        "a cancelled group does not count",
    );
}

pub(crate) async fn f6_blocking_follows_the_configuration(s: &Scene) {
    let topic = s.topic("orders").await;
    topic.publish(1).await;
    for block in [true, false] {
        let update = TopicUpdate {
            block_writes_on_zero_subscriptions: Some(block),
            ..TopicUpdate::default()
        };
        let updated = s.backend.update_topic(topic.name(), update).await;
        updated.expect("blocking can be turned on and off");
        let published = topic.try_publish(messages(1)).await;
        if block {
            refused(published, REFUSED, "blocking that is turned on blocks");
        } else {
            published.expect("blocking that is turned off does not block");
        }
    }
}

pub(crate) async fn without_blocking_messages_are_owed_to_nobody(s: &Scene) {
    let topic = s.topic("orders").await;
    topic.publish(3).await;
    let group = topic.group("billing").await;
    group
        .nothing("a group is not owed what was published before it subscribed")
        .await;
    topic
        .delete(fanout_core::DeleteTopic::IfSettled)
        .await
        .expect("messages that no group owes do not keep a topic");
}

pub(crate) async fn f6_queues_never_block(s: &Scene) {
    let queue = s.queue("jobs").await;
    queue.publish(1).await;
    let group = queue.queue_group();
    group.pause().await.expect("a queue can be paused");
    queue.publish(1).await;
    assert_eq!(
        group.pending().await.len(),
        2,
        "a queue always has its subscription, so it never blocks writes"
    );
    let update = TopicUpdate {
        block_writes_on_zero_subscriptions: Some(true),
        ..TopicUpdate::default()
    };
    refused(
        s.backend.update_topic(queue.name(), update).await,
        &[ErrorKind::InvalidInput],
        "a queue cannot be made to block writes",
    );
}
