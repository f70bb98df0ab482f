//! Topics and their configuration.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::text_enum::text_enum;
use crate::{
    CompletionMode, DEFAULT_LANES, Error, ErrorKind, MAX_LANES, MessageId, Timestamp, TopicId,
    TopicName,
};

text_enum! {
    /// Who receives the messages of a topic.
    #[derive(Default)]
    Semantics, "semantics" {
        /// Every subscribed group receives every message. The default.
        #[default]
        PubSub = "pub-sub",
        /// One built-in subscription receives every message; its consumers name no group.
        Queue = "queue",
    }
}

/// The configuration of a topic.
///
/// Semantics and lanes are fixed at creation; the mode changes by
/// [`migrate_topic`](crate::Backend::migrate_topic) only; the rest by [`TopicUpdate`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicConfig {
    /// Who receives messages. Default: [`Semantics::PubSub`].
    pub semantics: Semantics,
    /// How completion is accounted for. Default: [`CompletionMode::ReferenceCounting`].
    pub completion_mode: CompletionMode,
    /// Number of lanes, 1 to [`MAX_LANES`]. Default: 8.
    pub lanes: u16,
    /// How long a message is kept at least after every group has settled it. Default: 24 h.
    pub message_retention: Duration,
    /// How long a message that no group was subscribed for is kept. Default: 24 h.
    pub zero_subscription_retention: Duration,
    /// Whether publishing is refused while no group is subscribed. Default: false.
    pub block_writes_on_zero_subscriptions: bool,
    /// After how long a message is dropped regardless, leaving a gap. Default: 30 days.
    pub max_retention: Duration,
    /// The time that one leaf of the log should cover. Default: 1 h.
    pub partition_interval: Duration,
    /// Whether settlements are kept in the audit ledger. Default: false.
    pub audit: bool,
}

const HOUR: Duration = Duration::from_secs(3600);
/// Longest duration in a configuration: 100 years.
const MAX_RETENTION: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            semantics: Semantics::default(),
            completion_mode: CompletionMode::default(),
            lanes: DEFAULT_LANES,
            message_retention: 24 * HOUR,
            zero_subscription_retention: 24 * HOUR,
            block_writes_on_zero_subscriptions: false,
            max_retention: 30 * 24 * HOUR,
            partition_interval: HOUR,
            audit: false,
        }
    }
}

impl TopicConfig {
    /// The defaults with queue semantics.
    #[must_use]
    pub fn queue() -> Self {
        Self {
            semantics: Semantics::Queue,
            ..Self::default()
        }
    }

    /// Checks the values as every engine must.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for lanes out of range, a duration above 100 years, a partition
    /// interval below one second, a forced retention below an ordinary one, or write blocking on a
    /// queue.
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        if self.lanes == 0 || self.lanes > MAX_LANES {
            return invalid(format!(
                "lanes must lie in 1..={MAX_LANES} lanes=`{}`",
                self.lanes
            ));
        }
        if self.partition_interval < Duration::from_secs(1) {
            return invalid(format!(
                "partition_interval must be 1 s or more partition_interval=`{:?}`",
                self.partition_interval
            ));
        }
        for (name, value) in [
            ("message_retention", self.message_retention),
            (
                "zero_subscription_retention",
                self.zero_subscription_retention,
            ),
            ("max_retention", self.max_retention),
            ("partition_interval", self.partition_interval),
        ] {
            if value > MAX_RETENTION {
                return invalid(format!(
                    "{name} must be 100 years or less {name}=`{value:?}`"
                ));
            }
        }
        for (name, value) in [
            ("message_retention", self.message_retention),
            (
                "zero_subscription_retention",
                self.zero_subscription_retention,
            ),
        ] {
            if value > self.max_retention {
                return invalid(format!(
                    "{name} must not exceed max_retention {name}=`{value:?}` max_retention=`{:?}`",
                    self.max_retention
                ));
            }
        }
        if self.semantics == Semantics::Queue && self.block_writes_on_zero_subscriptions {
            return invalid(
                "block_writes_on_zero_subscriptions means nothing on a queue, which always has its subscription".to_owned(),
            );
        }
        Ok(())
    }
}

/// What may change of a topic's configuration; `None` leaves a value as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicUpdate {
    /// See [`TopicConfig::message_retention`].
    pub message_retention: Option<Duration>,
    /// See [`TopicConfig::zero_subscription_retention`].
    pub zero_subscription_retention: Option<Duration>,
    /// See [`TopicConfig::block_writes_on_zero_subscriptions`].
    pub block_writes_on_zero_subscriptions: Option<bool>,
    /// See [`TopicConfig::max_retention`].
    pub max_retention: Option<Duration>,
    /// See [`TopicConfig::partition_interval`].
    pub partition_interval: Option<Duration>,
    /// See [`TopicConfig::audit`].
    pub audit: Option<bool>,
}

impl TopicUpdate {
    /// The configuration after this update, checked.
    ///
    /// # Errors
    /// As [`TopicConfig::check`].
    pub fn apply(&self, config: &TopicConfig) -> Result<TopicConfig, Error> {
        let updated = TopicConfig {
            message_retention: self.message_retention.unwrap_or(config.message_retention),
            zero_subscription_retention: self
                .zero_subscription_retention
                .unwrap_or(config.zero_subscription_retention),
            block_writes_on_zero_subscriptions: self
                .block_writes_on_zero_subscriptions
                .unwrap_or(config.block_writes_on_zero_subscriptions),
            max_retention: self.max_retention.unwrap_or(config.max_retention),
            partition_interval: self.partition_interval.unwrap_or(config.partition_interval),
            audit: self.audit.unwrap_or(config.audit),
            ..config.clone()
        };
        updated.check()?;
        Ok(updated)
    }
}

/// Whether a topic may be deleted while groups still owe settlements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeleteTopic {
    /// Refuse, with the number of unsettled messages. The default.
    #[default]
    IfSettled,
    /// Delete messages that nobody has settled, too.
    Forced,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// This incarnation of the topic.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its configuration.
    pub config: TopicConfig,
    /// When it was created.
    pub created_at: Timestamp,
    /// Every message up to this id has been removed; 0 when none has.
    pub dropped_id: MessageId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_design_and_pass() {
        let config = TopicConfig::default();
        config.check().unwrap();
        assert_eq!(config.lanes, 8);
        assert_eq!(config.max_retention, Duration::from_secs(30 * 86_400));
    }

    #[test]
    fn refuses_what_cannot_hold() {
        let default = TopicConfig::default();
        for config in [
            TopicConfig {
                lanes: 0,
                ..default.clone()
            },
            TopicConfig {
                lanes: MAX_LANES + 1,
                ..default.clone()
            },
            TopicConfig {
                partition_interval: Duration::ZERO,
                ..default.clone()
            },
            TopicConfig {
                max_retention: HOUR,
                ..default.clone()
            },
            TopicConfig {
                max_retention: Duration::MAX,
                ..default.clone()
            },
            TopicConfig {
                block_writes_on_zero_subscriptions: true,
                ..TopicConfig::queue()
            },
        ] {
            assert_eq!(
                config.check().unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{config:?}"
            );
        }
    }

    #[test]
    fn an_update_changes_only_what_it_names() {
        let config = TopicConfig::default();
        assert_eq!(TopicUpdate::default().apply(&config).unwrap(), config);
        let update = TopicUpdate {
            audit: Some(true),
            ..TopicUpdate::default()
        };
        assert_eq!(
            update.apply(&config).unwrap(),
            TopicConfig {
                audit: true,
                ..config.clone()
            }
        );
        let update = TopicUpdate {
            max_retention: Some(HOUR),
            ..TopicUpdate::default()
        };
        assert!(
            update.apply(&config).is_err(),
            "checked against the values that stay"
        );
    }
}
