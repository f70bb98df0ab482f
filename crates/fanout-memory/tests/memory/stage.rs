//! An engine with a driven clock, one topic, and groups.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, BackendExt, CompletionMode, Delivery, Error, ErrorKind, GroupName, GroupStats,
    ManualClock, Member, MessageId, NewMessage, OnFailure, Ordering, ReceiptForm, Result,
    StartPosition, Subscribe, SubscriptionOptions, TopicConfig, TopicName, Transactional,
    TransactionalExt,
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

/// One message for each key, `-` for none.
pub(crate) fn keyed(keys: &str) -> Vec<NewMessage> {
    keys.split_whitespace()
        .map(|key| match key {
            "-" => NewMessage::new("x"),
            key => NewMessage::new("x").key(key),
        })
        .collect()
}

pub(crate) fn per_key() -> SubscriptionOptions {
    SubscriptionOptions {
        ordering: Ordering::PerKey,
        ..SubscriptionOptions::default()
    }
}

pub(crate) fn blocking() -> SubscriptionOptions {
    SubscriptionOptions {
        on_failure: OnFailure::Block,
        ..per_key()
    }
}

pub(crate) fn offset() -> TopicConfig {
    TopicConfig {
        completion_mode: CompletionMode::OffsetWatermark,
        ..TopicConfig::default()
    }
}

/// A topic of one lane.
pub(crate) fn one_lane() -> TopicConfig {
    TopicConfig {
        lanes: 1,
        ..offset()
    }
}

pub(crate) fn is_tracked(delivery: &Delivery) -> bool {
    matches!(delivery.receipt.form(), ReceiptForm::Tracked(_))
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
        Self::built(builder, TopicConfig::default()).await
    }

    pub(crate) async fn of(config: TopicConfig) -> Self {
        Self::built(MemoryBackend::builder(), config).await
    }

    pub(crate) async fn built(builder: MemoryBuilder, config: TopicConfig) -> Self {
        let clock = Arc::new(ManualClock::default());
        let backend = builder.clock(clock.clone()).build();
        let topic = topic("orders");
        backend.create_topic(&topic, config).await.unwrap();
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
        self.start(name, StartPosition::FromNow, options).await
    }

    /// Subscribes and joins.
    pub(crate) async fn start(
        &self,
        name: &str,
        start: StartPosition,
        options: SubscriptionOptions,
    ) -> Arc<dyn Member> {
        let group = group(name);
        let options = SubscriptionOptions {
            lease: LEASE,
            ..options
        };
        self.backend
            .subscribe(&self.topic, &group, Subscribe { start, options })
            .await
            .unwrap();
        self.backend.join_group(&self.topic, &group).await.unwrap()
    }

    pub(crate) async fn publish(&self, count: usize, bytes: usize) -> Result<Vec<MessageId>> {
        self.backend.publish(&self.topic, batch(count, bytes)).await
    }

    /// Publishes one message for each key, `-` for none.
    pub(crate) async fn publish_keyed(&self, keys: &str) {
        let messages = keyed(keys);
        self.backend.publish(&self.topic, messages).await.unwrap();
    }

    /// Settles in a transaction of its own.
    pub(crate) async fn settle_in(&self, deliveries: &[&Delivery]) -> Result<()> {
        let receipts: Vec<_> = deliveries.iter().map(|d| d.receipt).collect();
        self.backend
            .with_tx(async |tx| self.backend.settle_in(tx, &receipts).await)
            .await
    }

    pub(crate) async fn stats(&self, name: &str) -> GroupStats {
        let stats = self.backend.stats(&self.topic).await.unwrap();
        let mut of_group = stats.into_iter().filter(|s| s.group == group(name));
        of_group.next().unwrap()
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
