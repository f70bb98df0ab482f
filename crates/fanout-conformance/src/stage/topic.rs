//! A topic, by a handle.

use std::collections::BTreeMap;

use fanout_core::{
    BackendExt, CompletionMode, DeadLetter, DeleteTopic, GroupName, GroupRemaining, GroupStats,
    Member, MessageAccounting, MessageId, NewMessage, Result, SubscriptionOptions, Topic,
    TopicName, Watermark,
};

use super::{Scene, TestGroup, group_name, keyed, messages, options};
use std::sync::Arc;

/// A topic, by a handle.
#[derive(Clone, Debug)]
pub(crate) struct TestTopic {
    scene: Scene,
    name: TopicName,
}

impl TestTopic {
    pub(crate) fn new(scene: Scene, name: TopicName) -> Self {
        Self { scene, name }
    }

    pub(crate) fn scene(&self) -> &Scene {
        &self.scene
    }

    pub(crate) fn name(&self) -> &TopicName {
        &self.name
    }

    /// Subscribes a group from now on.
    pub(crate) async fn group(&self, name: &str) -> TestGroup {
        self.group_with(name, options()).await
    }

    pub(crate) async fn group_with(&self, name: &str, options: SubscriptionOptions) -> TestGroup {
        let group = self.at(name);
        group
            .subscribe(options)
            .await
            .expect("a group can be subscribed with good options");
        group
    }

    /// Subscribes `n` groups.
    pub(crate) async fn groups(&self, n: usize) -> Vec<TestGroup> {
        let mut groups = Vec::with_capacity(n);
        for i in 0..n {
            groups.push(self.group(&format!("group {i:03}")).await);
        }
        groups
    }

    /// The handle of a group, whether it is subscribed or not.
    pub(crate) fn at(&self, name: &str) -> TestGroup {
        TestGroup::new(self.clone(), group_name(name))
    }

    /// The handle of a queue's built-in group.
    pub(crate) fn queue_group(&self) -> TestGroup {
        TestGroup::new(self.clone(), GroupName::queue())
    }

    /// Joins the consumers of a queue.
    pub(crate) async fn consumer(&self) -> Arc<dyn Member> {
        self.scene
            .backend
            .join_queue(&self.name)
            .await
            .expect("a queue can be joined without naming a group")
    }

    /// Publishes `n` small messages.
    pub(crate) async fn publish(&self, n: usize) -> Vec<MessageId> {
        self.publish_all(messages(n)).await
    }

    /// Publishes a small message for each of these keys.
    pub(crate) async fn publish_keyed(&self, keys: &[&str]) -> Vec<MessageId> {
        self.publish_all(keyed(keys)).await
    }

    pub(crate) async fn publish_all(&self, messages: Vec<NewMessage>) -> Vec<MessageId> {
        let count = messages.len();
        let ids = self
            .try_publish(messages)
            .await
            .expect("a good batch is published");
        assert_eq!(ids.len(), count, "publishing returns one id per message");
        ids
    }

    pub(crate) async fn try_publish(&self, messages: Vec<NewMessage>) -> Result<Vec<MessageId>> {
        self.scene.backend.publish(&self.name, messages).await
    }

    /// Changes the mode.
    pub(crate) async fn migrate(&self, mode: CompletionMode) -> Topic {
        let changed = self.try_migrate(mode).await;
        changed.expect("the mode of a topic can be changed at any time")
    }

    pub(crate) async fn try_migrate(&self, mode: CompletionMode) -> Result<Topic> {
        tokio::task::yield_now().await;
        self.scene.backend.migrate_topic(&self.name, mode).await
    }

    /// The mode that the topic is in.
    pub(crate) async fn mode(&self) -> CompletionMode {
        let topic = self.scene.backend.topic(&self.name).await;
        topic.expect("the topic exists").config.completion_mode
    }

    /// What its groups have left of a mode.
    pub(crate) async fn remaining(&self, mode: CompletionMode) -> Vec<GroupRemaining> {
        let remaining = self.scene.backend.remaining(&self.name, mode).await;
        remaining.expect("what is left can be read")
    }

    pub(crate) async fn delete(&self, mode: DeleteTopic) -> Result<()> {
        self.scene.backend.delete_topic(&self.name, mode).await
    }

    /// The whole accounting, read in pages.
    pub(crate) async fn accounting(&self) -> BTreeMap<MessageId, MessageAccounting> {
        const PAGE: usize = 100;
        let mut all = BTreeMap::new();
        let mut after = MessageId(0);
        loop {
            let page = self
                .scene
                .backend
                .accounting(&self.name, after, PAGE)
                .await
                .expect("the accounting of a topic can be read");
            let Some(last) = page.last() else { return all };
            after = last.id;
            all.extend(page.into_iter().map(|record| (record.id, record)));
        }
    }

    /// The accounting of one message.
    pub(crate) async fn record(&self, id: MessageId) -> MessageAccounting {
        self.accounting()
            .await
            .remove(&id)
            .expect("the accounting has a record of every kept message")
    }

    /// Asserts that exactly these groups have settled a message, where it is tracked.
    pub(crate) async fn completed_by(&self, id: MessageId, groups: &[&TestGroup], promise: &str) {
        if self.scene.tracks() {
            let expected = groups.iter().map(|group| group.name().clone()).collect();
            assert_eq!(self.record(id).await.completed, expected, "{promise}");
        }
    }

    /// Asserts that every required group has settled these messages, where they are tracked.
    pub(crate) async fn complete(&self, ids: &[MessageId], promise: &str) {
        if self.scene.tracks() {
            let records = self.accounting().await;
            for id in ids {
                let record = &records[id];
                // Where only groups that read by cursor are subscribed, nobody is required.
                let dated = record.completed_at.is_some() || record.required.is_empty();
                assert!(
                    record.completed == record.required && dated,
                    "{promise}: {record:?}"
                );
            }
        }
    }

    /// Up to where the topic is settled, as last recorded.
    pub(crate) async fn watermark(&self) -> Watermark {
        tokio::task::yield_now().await;
        let watermark = self.scene.backend.watermark(&self.name).await;
        let watermark = watermark.expect("the watermark of a topic can be read");
        assert!(
            watermark.id <= watermark.decided,
            "nothing is settled that is not decided: {watermark:?}"
        );
        watermark
    }

    pub(crate) async fn stats(&self) -> Vec<GroupStats> {
        self.scene
            .backend
            .stats(&self.name)
            .await
            .expect("the figures of a topic can be read")
    }

    /// All dead letters.
    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.scene
            .backend
            .dead_letters(&self.name, None, 1000)
            .await
            .expect("dead letters can be read")
    }
}
