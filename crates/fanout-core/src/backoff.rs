//! How long a failed message waits before its next attempt.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Exponential backoff with a cap and jitter; by default 1 s, doubling up to 5 minutes, ± 20 %.
///
/// The wait after the n-th failure is `initial · multiplierⁿ⁻¹`, capped at `max`, then spread
/// evenly over ± `jitter` of itself. The spread comes after the cap, so that messages which failed
/// together do not come back together once they reach it.
///
/// Serialised with its durations as whole microseconds, `initial_us` and `max_us`; a field left out
/// takes its default. Reading does not [`validate`](Self::validate).
///
/// ```
/// use std::time::Duration;
/// use fanout_core::Backoff;
///
/// let backoff = Backoff::default().with_max(Duration::from_secs(30)).with_jitter(0.1);
/// backoff.validate()?;
/// // A random number of 0.5 is the middle of the spread.
/// assert_eq!(backoff.delay(1, 0.5), Duration::from_secs(1));
/// assert_eq!(backoff.delay(4, 0.5), Duration::from_secs(8));
/// assert_eq!(backoff.delay(9, 0.5), Duration::from_secs(30));
/// assert_eq!(backoff.delay(9, 0.0), Duration::from_secs(27));
/// # Ok::<(), fanout_core::BackoffError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Backoff {
    /// The wait after the first failure, before jitter. Zero retries at once, every time.
    #[serde(rename = "initial_us", with = "micros")]
    pub initial: Duration,
    /// The longest wait, before jitter; at most [`Backoff::MAX_DELAY`].
    #[serde(rename = "max_us", with = "micros")]
    pub max: Duration,
    /// By what each further failure multiplies the wait; finite, at least 1.
    pub multiplier: f64,
    /// How far a wait strays from its length, as a fraction of it, from 0 to 1.
    pub jitter: f64,
}

/// A [`Backoff`] whose fields make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum BackoffError {
    /// `max` is beyond [`Backoff::MAX_DELAY`].
    #[error(
        "backoff max is too long: max=`{max:?}` limit=`{:?}`",
        Backoff::MAX_DELAY
    )]
    MaxTooLong {
        /// The `max` given.
        max: Duration,
    },
    /// `initial` is longer than `max`.
    #[error("backoff initial is longer than its max: initial=`{initial:?}` max=`{max:?}`")]
    InitialAboveMax {
        /// The `initial` given.
        initial: Duration,
        /// The `max` given.
        max: Duration,
    },
    /// `multiplier` is below 1 or not finite.
    #[error("backoff multiplier must be finite and at least 1: multiplier=`{multiplier}`")]
    Multiplier {
        /// The `multiplier` given.
        multiplier: f64,
    },
    /// `jitter` is not between 0 and 1.
    #[error("backoff jitter must be between 0 and 1: jitter=`{jitter}`")]
    Jitter {
        /// The `jitter` given.
        jitter: f64,
    },
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(300),
            multiplier: 2.0,
            jitter: 0.2,
        }
    }
}

impl Backoff {
    /// The longest `max` that validates, 365 days: a delay added to any sane time still is one.
    pub const MAX_DELAY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    /// The default: 1 s, 5 minutes, 2, 0.2.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the wait after the first failure.
    #[must_use]
    pub const fn with_initial(mut self, initial: Duration) -> Self {
        self.initial = initial;
        self
    }

    /// Sets the longest wait.
    #[must_use]
    pub const fn with_max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Sets by what each further failure multiplies the wait.
    #[must_use]
    pub const fn with_multiplier(mut self, multiplier: f64) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// Sets how far a wait strays from its length, as a fraction of it.
    #[must_use]
    pub const fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Checks that the fields are in the ranges that they document.
    ///
    /// # Errors
    ///
    /// [`BackoffError`] for the first field that is not.
    pub fn validate(&self) -> Result<(), BackoffError> {
        let Self {
            initial,
            max,
            multiplier,
            jitter,
        } = *self;
        if max > Self::MAX_DELAY {
            return Err(BackoffError::MaxTooLong { max });
        }
        if initial > max {
            return Err(BackoffError::InitialAboveMax { initial, max });
        }
        if !multiplier.is_finite() || multiplier < 1.0 {
            return Err(BackoffError::Multiplier { multiplier });
        }
        if !(0.0..=1.0).contains(&jitter) {
            return Err(BackoffError::Jitter { jitter });
        }
        Ok(())
    }

    /// The wait after a message has failed `failures` times, in whole microseconds, rounded down.
    ///
    /// `random` in [0, 1) picks the place in the spread: 0 is its lower end, 0.5 its middle. A
    /// number outside counts as the nearest one inside, and NaN as the middle. No failures count as
    /// one.
    ///
    /// For a backoff that validates, with `base = min(initial · multiplier^(failures − 1), max)`,
    /// the wait lies between `base · (1 − jitter)` and `base · (1 + jitter)`, to the microsecond.
    #[must_use]
    pub fn delay(&self, failures: u32, random: f64) -> Duration {
        let initial = whole_micros(self.initial);
        // Zero stays zero, where an infinite power would make it NaN.
        let base = if initial > 0.0 {
            let growth = self.multiplier.powf(f64::from(failures.saturating_sub(1)));
            (initial * growth).min(whole_micros(self.max))
        } else {
            0.0
        };
        let place = if random.is_nan() {
            0.5
        } else {
            random.clamp(0.0, 1.0)
        };
        let spread = 1.0 + self.jitter * (2.0 * place - 1.0);
        // The cast saturates, and makes zero of whatever an invalid backoff led to.
        Duration::from_micros((base * spread) as u64)
    }
}

/// Exact up to 285 years, far above [`Backoff::MAX_DELAY`].
fn whole_micros(duration: Duration) -> f64 {
    duration.as_micros() as f64
}

mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(duration.as_micros().try_into().unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const YEAR_US: u64 = 365 * 24 * 3600 * 1_000_000;

    /// Just below 1, as a source of numbers in [0, 1) would give at most.
    const ALMOST_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

    fn failures() -> impl Strategy<Value = u32> {
        prop_oneof![4 => 0..80_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)]
    }

    /// Any backoff that validates, extremes included.
    fn backoff() -> impl Strategy<Value = Backoff> {
        let max = prop_oneof![0..10_000_u64, 0..=YEAR_US];
        let multiplier = prop_oneof![
            Just(1.0),
            1.0..1.1_f64,
            1.0..10.0_f64,
            1.0..1e300_f64,
            Just(f64::MAX)
        ];
        let jitter = prop_oneof![Just(0.0), 0.0..=1.0_f64, Just(1.0)];
        max.prop_flat_map(move |max| {
            let initial = prop_oneof![Just(0), 0..=max.min(1000), 0..=max];
            (initial, Just(max), multiplier.clone(), jitter.clone())
        })
        .prop_map(|(initial, max, multiplier, jitter)| Backoff {
            initial: Duration::from_micros(initial),
            max: Duration::from_micros(max),
            multiplier,
            jitter,
        })
    }

    /// Microseconds before jitter, by multiplying step by step.
    fn naive_base(backoff: &Backoff, failures: u32) -> f64 {
        let max = backoff.max.as_micros() as f64;
        let mut base = backoff.initial.as_micros() as f64;
        for _ in 1..failures {
            base *= backoff.multiplier;
            if base >= max {
                return max;
            }
        }
        base
    }

    #[test]
    fn defaults_double_from_one_second_to_five_minutes() {
        let backoff = Backoff::default();
        assert_eq!(backoff, Backoff::new());
        assert_eq!(backoff.validate(), Ok(()));
        let seconds: Vec<_> = (0..12).map(|n| backoff.delay(n, 0.5).as_secs()).collect();
        assert_eq!(seconds, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn jitter_spreads_around_the_wait_even_at_the_cap() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, 0.0), Duration::from_millis(800));
        assert_eq!(backoff.delay(1, 0.75), Duration::from_millis(1100));
        assert_eq!(backoff.delay(1, ALMOST_ONE), Duration::from_millis(1200));
        assert_eq!(backoff.delay(u32::MAX, 0.0), Duration::from_secs(240));
        assert_eq!(
            backoff.delay(u32::MAX, ALMOST_ONE),
            Duration::from_secs(360)
        );
        assert_eq!(backoff.with_jitter(1.0).delay(3, 0.0), Duration::ZERO);
    }

    #[test]
    fn random_numbers_outside_their_range_are_brought_inside() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(2, -3.0), backoff.delay(2, 0.0));
        assert_eq!(backoff.delay(2, f64::INFINITY), backoff.delay(2, 1.0));
        assert_eq!(backoff.delay(2, f64::NAN), backoff.delay(2, 0.5));
    }

    #[test]
    fn zero_is_at_once_however_often() {
        let backoff = Backoff::new()
            .with_initial(Duration::ZERO)
            .with_multiplier(f64::MAX);
        assert_eq!(backoff.validate(), Ok(()));
        for failures in [0, 1, 2, 3, u32::MAX] {
            assert_eq!(backoff.delay(failures, 0.9), Duration::ZERO);
        }
    }

    #[test]
    fn each_field_is_checked_and_its_limit_allowed() {
        use BackoffError::{InitialAboveMax, Jitter, MaxTooLong, Multiplier};

        let ok = Backoff::default();
        let limit = Backoff::MAX_DELAY;
        let longer = limit + Duration::from_nanos(1);
        assert_eq!(ok.with_max(limit).with_initial(limit).validate(), Ok(()));
        assert_eq!(
            ok.with_max(longer).validate(),
            Err(MaxTooLong { max: longer })
        );
        assert_eq!(
            ok.with_max(SECOND / 2).validate(),
            Err(InitialAboveMax {
                initial: SECOND,
                max: SECOND / 2
            })
        );
        assert_eq!(ok.with_multiplier(1.0).with_jitter(0.0).validate(), Ok(()));
        assert_eq!(
            ok.with_multiplier(f64::MAX).with_jitter(1.0).validate(),
            Ok(())
        );
        for multiplier in [0.999, -2.0, f64::INFINITY] {
            assert_eq!(
                ok.with_multiplier(multiplier).validate(),
                Err(Multiplier { multiplier })
            );
        }
        for jitter in [-0.001, 1.001, f64::INFINITY] {
            assert_eq!(ok.with_jitter(jitter).validate(), Err(Jitter { jitter }));
        }
        // NaN equals nothing, itself included.
        assert!(matches!(
            ok.with_multiplier(f64::NAN).validate(),
            Err(Multiplier { .. })
        ));
        assert!(matches!(
            ok.with_jitter(f64::NAN).validate(),
            Err(Jitter { .. })
        ));
    }

    #[test]
    fn errors_name_the_value() {
        let error = Backoff::new()
            .with_max(Duration::MAX)
            .validate()
            .unwrap_err();
        assert!(error.to_string().ends_with("limit=`31536000s`"), "{error}");
        let error = Backoff::new().with_max(SECOND / 2).validate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "backoff initial is longer than its max: initial=`1s` max=`500ms`"
        );
    }

    #[test]
    fn json_is_in_microseconds_with_defaults() {
        let json = serde_json::json!({
            "initial_us": 1_000_000, "max_us": 300_000_000, "multiplier": 2.0, "jitter": 0.2,
        });
        assert_eq!(serde_json::to_value(Backoff::default()).unwrap(), json);
        assert_eq!(
            serde_json::from_value::<Backoff>(json).unwrap(),
            Backoff::default()
        );
        assert_eq!(
            serde_json::from_str::<Backoff>(r#"{"max_us":7}"#).unwrap(),
            Backoff::default().with_max(Duration::from_micros(7))
        );
        assert!(serde_json::from_str::<Backoff>(r#"{"max_us":-7}"#).is_err());
        let longest = serde_json::to_value(Backoff::new().with_max(Duration::MAX)).unwrap();
        assert_eq!(longest["max_us"], u64::MAX);
    }

    proptest! {
        #[test]
        fn a_wait_is_its_base_within_the_jitter(
            backoff in backoff(),
            failures in 0..200_u32,
            random in 0.0..1.0_f64,
        ) {
            prop_assert_eq!(backoff.validate(), Ok(()));
            let base = naive_base(&backoff, failures);
            let wait = backoff.delay(failures, random).as_micros() as f64;
            // One microsecond of rounding down, and a little for the order of multiplications.
            let slack = 1.0 + base * 1e-9;
            let expected = base + base * backoff.jitter * (random - 0.5) * 2.0;
            prop_assert!((wait - expected).abs() <= slack, "{wait} is not {expected}");
            prop_assert!(wait >= base * (1.0 - backoff.jitter) - slack);
            prop_assert!(wait <= base * (1.0 + backoff.jitter) + slack);
        }

        #[test]
        fn a_wait_is_bounded_and_whole(
            backoff in backoff(),
            failures in failures(),
            random in prop_oneof![0.0..1.0_f64, Just(0.0), Just(ALMOST_ONE)],
        ) {
            let wait = backoff.delay(failures, random);
            let (initial, max) = (backoff.initial.as_micros() as f64, backoff.max.as_micros() as f64);
            prop_assert_eq!(wait.subsec_nanos() % 1000, 0);
            prop_assert!(wait.as_micros() as f64 <= max * (1.0 + backoff.jitter));
            prop_assert!(wait.as_micros() as f64 >= (initial * (1.0 - backoff.jitter) - 1.0).floor());
        }

        #[test]
        fn without_jitter_waits_grow_from_initial_to_max(
            backoff in backoff(),
            failures in failures(),
            randoms in (0.0..1.0_f64, 0.0..1.0_f64),
        ) {
            let backoff = backoff.with_jitter(0.0);
            let wait = backoff.delay(failures, randoms.0);
            prop_assert_eq!(backoff.delay(failures, randoms.1), wait);
            prop_assert_eq!(backoff.delay(1, randoms.0), backoff.initial);
            prop_assert!(wait <= backoff.delay(failures.saturating_add(1), randoms.0));
            prop_assert!(wait <= backoff.max);
            if backoff.multiplier >= 1.1 && !backoff.initial.is_zero() {
                prop_assert_eq!(backoff.delay(u32::MAX, randoms.0), backoff.max);
            }
        }

        #[test]
        fn more_random_is_more_wait(
            backoff in backoff(),
            failures in failures(),
            a in 0.0..1.0_f64,
            b in 0.0..1.0_f64,
        ) {
            prop_assert!(backoff.delay(failures, a.min(b)) <= backoff.delay(failures, a.max(b)));
        }

        #[test]
        fn nothing_panics_even_unvalidated(
            initial_s in any::<u64>(),
            max_s in any::<u64>(),
            multiplier in any::<f64>(),
            jitter in any::<f64>(),
            failures in any::<u32>(),
            random in any::<f64>(),
        ) {
            let backoff = Backoff {
                initial: Duration::from_secs(initial_s),
                max: Duration::from_secs(max_s),
                multiplier,
                jitter,
            };
            let _ = backoff.delay(failures, random);
        }

        #[test]
        fn json_keeps_the_durations(backoff in backoff()) {
            let json = serde_json::to_string(&backoff).unwrap();
            let read: Backoff = serde_json::from_str(&json).unwrap();
            prop_assert_eq!((read.initial, read.max), (backoff.initial, backoff.max));
        }
    }
}
