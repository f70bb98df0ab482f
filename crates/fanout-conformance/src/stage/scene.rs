//! The engine and its clock.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, Backoff, Clock, CompletionMode, GroupName, ManualClock, NewMessage, OnFailure,
    Ordering, SubscriptionOptions, Timestamp, TopicConfig, TopicName,
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
    /// The mode of the topics that the case makes, unless it says otherwise.
    pub(crate) mode: CompletionMode,
}

impl Scene {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Moves the clock so far that no member that was silent meanwhile holds on to anything: neither
    /// messages nor lanes.
    pub(crate) fn lapse(&self) {
        self.advance(LEASE * 2);
    }

    /// Whether messages are tracked in the topics that the case makes.
    pub(crate) fn tracks(&self) -> bool {
        self.mode == CompletionMode::ReferenceCounting
    }

    /// The defaults in the mode of the case.
    pub(crate) fn config(&self) -> TopicConfig {
        TopicConfig {
            completion_mode: self.mode,
            ..TopicConfig::default()
        }
    }

    /// Creates a pub/sub topic.
    pub(crate) async fn topic(&self, name: &str) -> TestTopic {
        self.topic_with(name, self.config()).await
    }

    /// Creates a pub/sub topic with so many lanes.
    pub(crate) async fn topic_of_lanes(&self, name: &str, lanes: u16) -> TestTopic {
        let config = TopicConfig {
            lanes,
            ..self.config()
        };
        self.topic_with(name, config).await
    }

    /// Creates a queue topic.
    pub(crate) async fn queue(&self, name: &str) -> TestTopic {
        let config = TopicConfig {
            completion_mode: self.mode,
            ..TopicConfig::queue()
        };
        self.topic_with(name, config).await
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

/// `n` small messages of one key.
pub(crate) fn of_key(key: &str, n: usize) -> Vec<NewMessage> {
    keyed(&vec![key; n])
}

/// A small message for each of these keys.
pub(crate) fn keyed(keys: &[&str]) -> Vec<NewMessage> {
    keys.iter()
        .zip(messages(keys.len()))
        .map(|(key, message)| message.key(*key))
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

/// As [`options`], in order per key.
pub(crate) fn ordered() -> SubscriptionOptions {
    SubscriptionOptions {
        ordering: Ordering::PerKey,
        ..options()
    }
}

/// As [`ordered`], where a failure blocks its lane.
pub(crate) fn blocking() -> SubscriptionOptions {
    SubscriptionOptions {
        on_failure: OnFailure::Block,
        ..ordered()
    }
}

/// Both orderings, each with a name for its group.
pub(crate) fn both_orderings() -> [(&'static str, SubscriptionOptions); 2] {
    [("unordered", options()), ("ordered", ordered())]
}

/// Options under which no message is given up.
pub(crate) fn patient(mut options: SubscriptionOptions) -> SubscriptionOptions {
    options.max_attempts = 1_000_000;
    options.max_stalls = 1_000_000;
    options
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
