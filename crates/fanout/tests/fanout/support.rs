//! What the tests share.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fanout::{
    Backend, BackendExt, Backoff, Clock, CompletionMode, Consumer, GroupName, GroupStats,
    MemoryBackend, Message, MessageId, NewMessage, Result, Subscribe, SubscriptionOptions,
    Timestamp, TopicConfig, TopicName,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// tokio's clock, which tests can pause: then engine and runtime go by the same virtual time.
#[derive(Debug)]
pub(crate) struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + Instant::now().duration_since(self.0)
    }
}

/// An engine with one topic and one subscribed group.
pub(crate) struct World {
    pub(crate) backend: MemoryBackend,
    pub(crate) topic: TopicName,
    pub(crate) group: GroupName,
}

/// Retries at once, so that no test waits.
pub(crate) fn impatient() -> SubscriptionOptions {
    SubscriptionOptions {
        backoff: Backoff::default().with_initial(Duration::ZERO),
        max_attempts: 3,
        ..SubscriptionOptions::default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(impatient()).await
    }

    pub(crate) async fn with(options: SubscriptionOptions) -> Self {
        Self::in_mode(CompletionMode::default(), options).await
    }

    pub(crate) async fn in_mode(mode: CompletionMode, options: SubscriptionOptions) -> Self {
        let clock = Arc::new(TokioClock(Instant::now()));
        Self::made(MemoryBackend::builder().clock(clock).build(), mode, options).await
    }

    pub(crate) async fn of(backend: MemoryBackend, options: SubscriptionOptions) -> Self {
        Self::made(backend, CompletionMode::default(), options).await
    }

    async fn made(
        backend: MemoryBackend,
        completion_mode: CompletionMode,
        options: SubscriptionOptions,
    ) -> Self {
        let (topic, group) = (TopicName::new("t").unwrap(), GroupName::new("g").unwrap());
        let config = TopicConfig {
            completion_mode,
            ..TopicConfig::default()
        };
        backend.create_topic(&topic, config).await.unwrap();
        backend
            .subscribe(&topic, &group, Subscribe::from(options))
            .await
            .unwrap();
        Self {
            backend,
            topic,
            group,
        }
    }

    pub(crate) fn consumer(&self) -> Consumer<MemoryBackend> {
        self.consumer_on(Arc::new(self.backend.clone()))
    }

    pub(crate) fn consumer_on<B: Backend + ?Sized>(&self, backend: Arc<B>) -> Consumer<B> {
        Consumer::group(backend, self.topic.clone(), self.group.clone())
    }

    /// Publishes messages whose payloads are their numbers, from 0.
    pub(crate) async fn publish(&self, count: usize) -> Vec<MessageId> {
        let messages = (0..count).map(|n| NewMessage::new(n.to_string())).collect();
        self.backend.publish(&self.topic, messages).await.unwrap()
    }

    pub(crate) async fn stats(&self) -> GroupStats {
        let mut stats = self.backend.stats(&self.topic).await.unwrap();
        assert_eq!(stats.len(), 1);
        stats.remove(0)
    }

    pub(crate) async fn pending(&self) -> u64 {
        self.stats().await.pending
    }

    /// Waits until the group owes nothing.
    pub(crate) async fn drained(&self) {
        until(async || self.pending().await == 0).await;
    }

    /// How many messages another member gets at once.
    pub(crate) async fn fetchable(&self) -> usize {
        let member = self
            .backend
            .join_group(&self.topic, &self.group)
            .await
            .unwrap();
        let fetched = member.fetch(1_000_000).await.unwrap();
        member.leave().await.unwrap();
        fetched.deliveries.len()
    }
}

pub(crate) fn number(message: &Message) -> usize {
    std::str::from_utf8(&message.payload)
        .unwrap()
        .parse()
        .unwrap()
}

/// Polls a condition of the engine, which nothing announces; fails the test if it never comes true.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let mut pause = Duration::from_millis(1);
    guarded(async {
        while !condition().await {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    })
    .await;
}

/// Fails the test instead of hanging; an hour may be virtual.
pub(crate) async fn guarded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), work)
        .await
        .expect("the test hangs")
}

/// The result of a consumer that was spawned.
pub(crate) async fn ended(running: JoinHandle<Result<()>>) -> Result<()> {
    guarded(running).await.expect("the consumer panicked")
}
