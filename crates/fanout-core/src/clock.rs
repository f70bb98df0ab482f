//! Where time comes from.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::Timestamp;

/// A source of time.
///
/// The memory engine takes all time from one; the Postgres engine goes by the database's clock
/// unless it is given one, which is for tests.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present time.
    ///
    /// # To ensure correctness
    /// Any value may be returned; an engine must not lose or deliver twice because a clock stands
    /// still or steps back. Leases last longer or shorter by the error of the clock.
    fn now(&self) -> Timestamp;
}

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        match std::time::SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp::UNIX_EPOCH + since,
            Err(before) => Timestamp::UNIX_EPOCH - before.duration(),
        }
    }
}

/// A clock that stands still until it is told to move: for tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock forward and returns what it shows then.
    pub fn advance(&self, by: Duration) -> Timestamp {
        let mut now = self.0.lock();
        *now = *now + by;
        *now
    }

    /// Sets the clock, also backwards.
    pub fn set(&self, now: Timestamp) {
        *self.0.lock() = now;
    }
}

/// 2000-01-01T00:00:00Z.
impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Timestamp::from_micros(946_684_800_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}
