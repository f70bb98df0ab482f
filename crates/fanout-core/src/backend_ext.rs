//! Conveniences over [`Backend`].

use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    Backend, ErrorKind, GroupName, JoinOptions, Member, MessageId, NewMessage, Result,
    StartPosition, Subscribe, Subscription, SubscriptionOptions, Topic, TopicConfig, TopicName,
};

/// Conveniences over [`Backend`], for every engine.
#[async_trait]
pub trait BackendExt: Backend {
    /// Whether there is such a topic.
    async fn topic_exists(&self, topic: &TopicName) -> Result<bool> {
        match self.topic(topic).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::TopicNotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates a topic, or reads it when it exists, whatever its configuration.
    async fn ensure_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<Topic> {
        match self.create_topic(topic, config).await {
            Err(error) if error.kind() == ErrorKind::TopicExists => self.topic(topic).await,
            created => created,
        }
    }

    /// Subscribes a group from now on with default options.
    async fn subscribe_from_now(
        &self,
        topic: &TopicName,
        group: &GroupName,
    ) -> Result<Subscription> {
        self.subscribe(
            topic,
            group,
            Subscribe {
                start: StartPosition::FromNow,
                options: SubscriptionOptions::default(),
            },
        )
        .await
    }

    /// Publishes one message.
    async fn publish_one(&self, topic: &TopicName, message: NewMessage) -> Result<MessageId> {
        // A batch of one gives one id: that is the contract of `publish`.
        Ok(self.publish(topic, vec![message]).await?[0])
    }

    /// Joins a group of a pub/sub topic.
    async fn join_group(&self, topic: &TopicName, group: &GroupName) -> Result<Arc<dyn Member>> {
        self.join(topic, Some(group), JoinOptions::default()).await
    }

    /// Joins the consumers of a queue topic.
    async fn join_queue(&self, topic: &TopicName) -> Result<Arc<dyn Member>> {
        self.join(topic, None, JoinOptions::default()).await
    }
}

impl<B: Backend + ?Sized> BackendExt for B {}
