//! An engine with a driven clock, one topic, and groups.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, BackendExt, Delivery, Error, ErrorKind, GroupName, ManualClock, Member, MessageId,
    NewMessage, Result, SubscriptionOptions, TopicConfig, TopicName,
};
use fanout_memory::{MemoryBackend, MemoryBuilder};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) backend: MemoryBackend,
    pub(crate) topic: TopicName,
}

pub(crate) fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

pub(crate) fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

pub(crate) fn batch(count: usize, bytes: usize) -> Vec<NewMessage> {
    vec![NewMessage::new(vec![0; bytes]); count]
}

pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<i64> {
    deliveries.iter().map(|d| d.message.id.0).collect()
}

pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.map_err(|error: Error| error.kind()).unwrap_err()
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(MemoryBackend::builder()).await
    }

    pub(crate) async fn with(builder: MemoryBuilder) -> Self {
        let clock = Arc::new(ManualClock::default());
        let backend = builder.clock(clock.clone()).build();
        let topic = topic("orders");
        backend
            .create_topic(&topic, TopicConfig::default())
            .await
            .unwrap();
        Self {
            clock,
            backend,
            topic,
        }
    }

    pub(crate) async fn join(&self, name: &str) -> Arc<dyn Member> {
        self.join_with(name, SubscriptionOptions::default()).await
    }

    pub(crate) async fn join_with(
        &self,
        name: &str,
        options: SubscriptionOptions,
    ) -> Arc<dyn Member> {
        let group = group(name);
        let options = SubscriptionOptions {
            lease: LEASE,
            ..options
        };
        self.backend
            .subscribe(&self.topic, &group, options.into())
            .await
            .unwrap();
        self.backend.join_group(&self.topic, &group).await.unwrap()
    }

    pub(crate) async fn publish(&self, count: usize, bytes: usize) -> Result<Vec<MessageId>> {
        self.backend.publish(&self.topic, batch(count, bytes)).await
    }

    pub(crate) async fn pending(&self, name: &str) -> Vec<i64> {
        self.backend
            .pending(&self.topic, &group(name), MessageId(0), usize::MAX)
            .await
            .unwrap()
            .into_iter()
            .map(MessageId::get)
            .collect()
    }

    /// The ids that the log keeps.
    pub(crate) async fn kept(&self) -> Vec<i64> {
        self.backend
            .accounting(&self.topic, MessageId(0), usize::MAX)
            .await
            .unwrap()
            .into_iter()
            .map(|record| record.id.0)
            .collect()
    }

    pub(crate) async fn dropped(&self) -> i64 {
        self.backend.topic(&self.topic).await.unwrap().dropped_id.0
    }
}

pub(crate) async fn take(member: &Arc<dyn Member>, limit: usize) -> Vec<Delivery> {
    member.fetch(limit).await.unwrap().deliveries
}
