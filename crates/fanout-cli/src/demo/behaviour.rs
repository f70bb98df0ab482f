//! How a group behaves.

use std::time::Duration;

use fanout::{Backoff, SubscriptionOptions};

use super::chance::happens;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// Handles at once.
    Fast,
    /// Takes its time for each message.
    Slow,
    /// Fails some messages now and then, and a few always.
    Flaky,
    /// Loses a member now and then, with what it has in hand.
    Crashing,
}

impl Behaviour {
    const ALL: [Self; 4] = [Self::Fast, Self::Slow, Self::Flaky, Self::Crashing];

    /// All in turn.
    pub(super) fn of(index: usize) -> Self {
        Self::ALL[index % Self::ALL.len()]
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Slow => "slow",
            Self::Flaky => "flaky",
            Self::Crashing => "crashing",
        }
    }

    pub(super) fn options(self) -> SubscriptionOptions {
        let options = SubscriptionOptions::default();
        match self {
            Self::Fast | Self::Slow => options,
            Self::Flaky => SubscriptionOptions {
                max_attempts: 3,
                backoff: Backoff::default()
                    .with_initial(Duration::from_millis(50))
                    .with_max(Duration::from_millis(200)),
                ..options
            },
            Self::Crashing => SubscriptionOptions {
                // Short, so that what a crash left behind comes again soon; and no message is
                // taken for the culprit, since none is.
                lease: Duration::from_millis(400),
                max_stalls: 1_000,
                ..options
            },
        }
    }

    /// How many handlers of a member run at once.
    pub(super) const fn concurrency(self) -> usize {
        match self {
            Self::Slow => 32,
            _ => 16,
        }
    }

    /// How long handling a message takes.
    pub(super) const fn pace(self) -> Option<Duration> {
        match self {
            Self::Slow => Some(Duration::from_millis(10)),
            _ => None,
        }
    }

    /// Whether an attempt at a message fails.
    pub(super) fn fails(self, seed: u64, number: u64, attempt: u32) -> bool {
        self == Self::Flaky
            && (happens(2, &[seed, number]) || happens(80, &[seed, number, attempt.into()]))
    }
}
