//! How long to wait between tries that come to nothing.

use std::time::Duration;

use fanout_core::ErrorKind;

/// Whether a call that failed so may be made again. Not knowing what a settlement came to is no
/// harm: a second one is stale if the first took effect.
pub(crate) const fn ask_again(kind: ErrorKind) -> bool {
    kind.is_transient() || matches!(kind, ErrorKind::Unknown)
}

/// A wait that doubles with every miss, from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Pace {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max: max.max(min),
            next: min,
        }
    }

    /// For calls that failed and may succeed later.
    pub(crate) fn of_errors() -> Self {
        Self::new(Duration::from_millis(20), Duration::from_secs(5))
    }

    /// Whether the last was a miss.
    pub(crate) fn is_waiting(&self) -> bool {
        self.next != self.min
    }

    /// How long to wait after this miss.
    pub(crate) fn miss(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max);
        wait
    }

    /// Begins anew; returns the shortest wait.
    pub(crate) fn hit(&mut self) -> Duration {
        self.next = self.min;
        self.min
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_cap_and_begins_anew_on_a_hit() {
        let ms = Duration::from_millis;
        let mut pace = Pace::new(ms(1), ms(6));
        let waits: Vec<_> = (0..5).map(|_| pace.miss()).collect();
        assert_eq!(waits, [ms(1), ms(2), ms(4), ms(6), ms(6)]);
        assert_eq!(pace.hit(), ms(1));
        assert_eq!(pace.miss(), ms(1));
    }

    #[test]
    fn a_cap_below_the_start_counts_as_the_start() {
        let mut pace = Pace::new(Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!(pace.miss(), Duration::from_secs(2));
        assert_eq!(pace.miss(), Duration::from_secs(2));
    }
}
