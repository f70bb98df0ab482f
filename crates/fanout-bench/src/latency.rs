//! Distributions of latency.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longer latencies count as this: an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;
/// Three digits: half a per mille of error, far below the noise.
const DIGITS: u8 = 3;

/// Latencies of messages, in hand and settled, during the warm-up and after it.
#[derive(Clone, Debug)]
pub(crate) struct Latencies {
    pub(crate) warmup: Stages,
    pub(crate) measured: Stages,
}

/// Latencies up to two moments in the life of a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Stages {
    /// Until a consumer of the group has the message.
    pub(crate) in_hand: Distribution,
    /// Until its settlement is durable.
    pub(crate) settled: Distribution,
}

/// A distribution of latencies.
#[derive(Clone, Debug)]
pub(crate) struct Distribution(Histogram<u64>);

/// What is told of a distribution, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        // Each made afresh: a copy would touch all of its memory, for each of many consumers.
        let stages = || Stages {
            in_hand: Distribution::new(),
            settled: Distribution::new(),
        };
        Self {
            warmup: stages(),
            measured: stages(),
        }
    }

    pub(crate) fn stages(&mut self, measured: bool) -> &mut Stages {
        if measured {
            &mut self.measured
        } else {
            &mut self.warmup
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (stages, others) in [
            (&mut self.warmup, &other.warmup),
            (&mut self.measured, &other.measured),
        ] {
            stages.in_hand.0 += &others.in_hand.0;
            stages.settled.0 += &others.settled.0;
        }
    }
}

impl Distribution {
    pub(crate) fn new() -> Self {
        let empty = Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS);
        Self(empty.expect("the bounds are constants that are in range"))
    }

    /// Records the latency of so many messages.
    pub(crate) fn record(&mut self, latency: Duration, messages: u64) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record_n(micros, messages);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    pub(crate) fn summary(&self) -> Summary {
        let ms = |micros: u64| micros as f64 / 1e3;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        Summary {
            count: self.0.len(),
            p50_ms: at(0.50),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(self.0.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_up_what_several_recorded() {
        let mut all = Latencies::new();
        for half in [0, 1] {
            let mut one = Latencies::new();
            for ms in (1..=100).filter(|ms| ms % 2 == half) {
                let latency = Duration::from_millis(ms);
                one.stages(true).settled.record(latency, 3);
            }
            all.add(&one);
        }
        let summary = all.measured.settled.summary();
        assert_eq!(summary.count, 300);
        for (found, expected) in [
            (summary.p50_ms, 50.0),
            (summary.p95_ms, 95.0),
            (summary.max_ms, 100.0),
        ] {
            assert!((found - expected).abs() < 0.1, "{summary:?}");
        }
        assert_eq!(all.warmup.settled.summary().count, 0);
    }
}
