//! After the engine was closed.

use fanout_core::{
    BackendExt, DeleteTopic, ErrorKind, MessageId, Settlement, StartPosition, TopicConfig,
    TopicUpdate, Transactional,
};

use crate::Harness;
use crate::stage::{Fixture, LEASE, group_name, messages, refused, take, topic_name};

const CLOSED: &[ErrorKind] = &[ErrorKind::Closed];
const PROMISE: &str = "calls on a closed engine say that it is closed";

pub(crate) async fn every_call_says_so<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let group = topic.group("billing").await;
    f.harness.close(&f.backend).await;
    let (b, name) = (&f.scene().backend, topic.name());
    let config = TopicConfig::default();
    let new = b.create_topic(&topic_name("new"), config).await;
    refused(new, CLOSED, PROMISE);
    let updated = b.update_topic(name, TopicUpdate::default()).await;
    refused(updated, CLOSED, PROMISE);
    refused(b.topic(name).await, CLOSED, PROMISE);
    refused(b.topics().await, CLOSED, PROMISE);
    refused(
        b.delete_topic(name, DeleteTopic::Forced).await,
        CLOSED,
        PROMISE,
    );
    let new = group_name("new");
    refused(b.subscribe_from_now(name, &new).await, CLOSED, PROMISE);
    refused(group.pause().await, CLOSED, PROMISE);
    refused(group.resume().await, CLOSED, PROMISE);
    refused(group.heartbeat().await, CLOSED, PROMISE);
    refused(group.cancel().await, CLOSED, PROMISE);
    let sought = group.seek(StartPosition::FromBeginning).await;
    refused(sought, CLOSED, PROMISE);
    refused(group.subscription().await, CLOSED, PROMISE);
    refused(b.subscriptions(name).await, CLOSED, PROMISE);
    refused(topic.try_publish(messages(1)).await, CLOSED, PROMISE);
    refused(group.try_join().await, CLOSED, PROMISE);
    refused(b.maintain().await, CLOSED, PROMISE);
    refused(b.stats(name).await, CLOSED, PROMISE);
    refused(b.watermark(name).await, CLOSED, PROMISE);
    let none = MessageId(0);
    let pending = b.pending(name, group.name(), none, 10).await;
    refused(pending, CLOSED, PROMISE);
    refused(b.accounting(name, none, 10).await, CLOSED, PROMISE);
    refused(b.dead_letters(name, None, 10).await, CLOSED, PROMISE);
    refused(f.backend.begin().await.map(drop), CLOSED, PROMISE);
}

pub(crate) async fn members_say_so<H: Harness>(f: &Fixture<H>) {
    let topic = f.topic("orders").await;
    let group = topic.group("billing").await;
    topic.publish(2).await;
    let member = group.member().await;
    let held = take(&*member, 1).await.remove(0);
    f.harness.close(&f.backend).await;
    refused(member.fetch(1).await, CLOSED, PROMISE);
    let settlement = Settlement::done(held.receipt);
    refused(member.settle(&[settlement]).await, CLOSED, PROMISE);
    refused(member.extend(&[held.receipt], LEASE).await, CLOSED, PROMISE);
    refused(member.heartbeat().await, CLOSED, PROMISE);
}

pub(crate) async fn closing_again_changes_nothing<H: Harness>(f: &Fixture<H>) {
    f.topic("orders").await;
    f.harness.close(&f.backend).await;
    f.harness.close(&f.backend).await;
    refused(f.scene().backend.topics().await, CLOSED, PROMISE);
}
