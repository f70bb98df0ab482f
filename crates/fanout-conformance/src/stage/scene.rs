//! The engine and its clock.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, Backoff, Clock, GroupName, ManualClock, NewMessage, SubscriptionOptions, Timestamp,
    TopicConfig, TopicName,
};

use super::TestTopic;

/// The lease of [`options`].
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// More rounds of maintenance than could be needed.
const MAX_ROUNDS: usize = 100;

/// The engine and its clock, for cases that need no transactions of their own.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Scene {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Creates a pub/sub topic.
    pub(crate) async fn topic(&self, name: &str) -> TestTopic {
        self.topic_with(name, TopicConfig::default()).await
    }

    /// Creates a queue topic.
    pub(crate) async fn queue(&self, name: &str) -> TestTopic {
        self.topic_with(name, TopicConfig::queue()).await
    }

    pub(crate) async fn topic_with(&self, name: &str, config: TopicConfig) -> TestTopic {
        self.backend
            .create_topic(&topic_name(name), config)
            .await
            .expect("a topic with a new name and a good configuration is created");
        self.at(name)
    }

    /// The handle of a topic, whether it exists or not.
    pub(crate) fn at(&self, name: &str) -> TestTopic {
        TestTopic::new(self.clone(), topic_name(name))
    }

    /// One round of maintenance.
    pub(crate) async fn maintain(&self) {
        tokio::task::yield_now().await;
        self.backend
            .maintain()
            .await
            .expect("maintenance may be called at any time");
    }

    /// Maintenance until there is nothing left to do.
    pub(crate) async fn maintain_until_idle(&self) {
        for _ in 0..MAX_ROUNDS {
            let report = self.backend.maintain().await;
            if report
                .expect("maintenance may be called at any time")
                .is_idle()
            {
                return;
            }
        }
        panic!("maintenance that is repeated runs out of work within {MAX_ROUNDS} rounds");
    }
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName::new(name).expect("the case uses a valid topic name")
}

pub(crate) fn group_name(name: &str) -> GroupName {
    GroupName::new(name).expect("the case uses a valid group name")
}

/// `n` small messages.
pub(crate) fn messages(n: usize) -> Vec<NewMessage> {
    (0..n)
        .map(|i| NewMessage::new(format!("message {i}")))
        .collect()
}

/// The defaults, without chance, and such that no group dies of a moved clock.
pub(crate) fn options() -> SubscriptionOptions {
    SubscriptionOptions {
        lease: LEASE,
        backoff: Backoff::default().with_jitter(0.0),
        heartbeat_timeout: Duration::from_secs(365 * 86_400),
        ..SubscriptionOptions::default()
    }
}

/// Whether the large sizes are asked for.
pub(crate) fn full_size() -> bool {
    std::env::var_os("FANOUT_FULL").is_some_and(|value| value == "1")
}

/// The error kinds of what belonged to a topic that is gone.
pub(crate) fn ended() -> [fanout_core::ErrorKind; 3] {
    use fanout_core::ErrorKind::{SubscriptionEnded, SubscriptionNotFound, TopicNotFound};
    [TopicNotFound, SubscriptionNotFound, SubscriptionEnded]
}
