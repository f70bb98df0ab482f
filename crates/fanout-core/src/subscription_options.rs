//! How a subscription delivers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::text_enum::text_enum;
use crate::{Backoff, Error, ErrorKind};

text_enum! {
    /// The order in which a group receives messages.
    #[derive(Default)]
    Ordering, "ordering" {
        /// Any order. The default.
        #[default]
        Unordered = "unordered",
        /// Messages of one key in the order in which they were published.
        PerKey = "per-key",
    }
}

text_enum! {
    /// What happens to the lane of a message that failed, where messages are read by cursor.
    #[derive(Default)]
    OnFailure, "failure policy" {
        /// The message is set aside and retried on its own; the lane goes on. The default.
        #[default]
        Park = "park",
        /// The lane waits until the message is settled or dead-lettered. Per-key order only.
        Block = "block",
    }
}

/// How a subscription delivers. All but the ordering can be changed by subscribing again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionOptions {
    /// The order of delivery; fixed for the life of a subscription. Default: unordered.
    pub ordering: Ordering,
    /// What a failure does to the lane. Default: park.
    pub on_failure: OnFailure,
    /// How long a member may hold a message before it is delivered again, 1 ms to 12 h.
    /// Default: 30 s.
    pub lease: Duration,
    /// Failed attempts after which a message is dead-lettered, 1 or more. Default: 5.
    pub max_attempts: u32,
    /// Expired leases after which a message is dead-lettered as poison, 1 or more. Default: 5.
    pub max_stalls: u32,
    /// When a failed message is delivered again.
    pub backoff: Backoff,
    /// How often the group gives a sign of life. Default: 30 s.
    pub heartbeat_interval: Duration,
    /// After how long without a sign of life the subscription is dead; longer than the interval.
    /// Default: 240 s.
    pub heartbeat_timeout: Duration,
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        Self {
            ordering: Ordering::default(),
            on_failure: OnFailure::default(),
            lease: Duration::from_secs(30),
            max_attempts: 5,
            max_stalls: 5,
            backoff: Backoff::default(),
            heartbeat_interval: Duration::from_secs(30),
            heartbeat_timeout: Duration::from_secs(240),
        }
    }
}

/// Longest lease, and longest extension of one: 12 h.
pub const MAX_LEASE: Duration = Duration::from_secs(12 * 3600);

/// Checks the length of a lease or of an extension.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] below 1 ms and above [`MAX_LEASE`].
pub fn check_lease(lease: Duration) -> Result<(), Error> {
    if (Duration::from_millis(1)..=MAX_LEASE).contains(&lease) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("lease must lie between 1 ms and 12 h lease=`{lease:?}`"),
    ))
}

impl SubscriptionOptions {
    /// Checks the values as every engine must.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a value out of its range, or blocking without order.
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        check_lease(self.lease)?;
        for (name, value) in [
            ("max_attempts", self.max_attempts),
            ("max_stalls", self.max_stalls),
        ] {
            if value == 0 || i32::try_from(value).is_err() {
                return invalid(format!(
                    "{name} must lie between 1 and 2^31 - 1 {name}=`{value}`"
                ));
            }
        }
        if self.heartbeat_interval.is_zero()
            || self.heartbeat_timeout <= self.heartbeat_interval
            || self.heartbeat_timeout > Duration::from_secs(365 * 86_400)
        {
            return invalid(format!(
                "heartbeat_timeout must exceed a positive heartbeat_interval and be a year or less \
                 heartbeat_interval=`{:?}` heartbeat_timeout=`{:?}`",
                self.heartbeat_interval, self.heartbeat_timeout
            ));
        }
        if self.on_failure == OnFailure::Block && self.ordering != Ordering::PerKey {
            return invalid("on_failure `block` needs ordering `per-key`".to_owned());
        }
        self.backoff.validate().map_err(|error| {
            Error::new(ErrorKind::InvalidInput, error.to_string()).with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_pass_and_bad_values_do_not() {
        let default = SubscriptionOptions::default();
        default.check().unwrap();
        for options in [
            SubscriptionOptions {
                lease: Duration::ZERO,
                ..default.clone()
            },
            SubscriptionOptions {
                lease: MAX_LEASE * 2,
                ..default.clone()
            },
            SubscriptionOptions {
                max_attempts: 0,
                ..default.clone()
            },
            SubscriptionOptions {
                max_stalls: u32::MAX,
                ..default.clone()
            },
            SubscriptionOptions {
                on_failure: OnFailure::Block,
                ..default.clone()
            },
            SubscriptionOptions {
                heartbeat_timeout: default.heartbeat_interval,
                ..default.clone()
            },
        ] {
            assert_eq!(
                options.check().unwrap_err().kind(),
                ErrorKind::InvalidInput,
                "{options:?}"
            );
        }
    }
}
