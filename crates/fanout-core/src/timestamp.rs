//! Points in time, in the resolution that Postgres stores.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: whole microseconds since 1970-01-01T00:00:00Z, negative before it.
///
/// This is the resolution and the origin-independent meaning of Postgres' `timestamptz`. The
/// optional features `jiff` and `chrono` convert to and from those libraries' types.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);

    /// From microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The time that has passed since `earlier`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    fn micros(duration: Duration) -> i64 {
        i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Saturates at the end of the representable range.
impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::micros(duration)))
    }
}

/// Saturates at the beginning of the representable range.
impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(Self::micros(duration)))
    }
}

/// RFC 3339 in UTC with microseconds, such as `2026-01-31T08:15:30.000250Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, in_day) = (
            self.0.div_euclid(86_400_000_000),
            self.0.rem_euclid(86_400_000_000),
        );
        let (year, month, day) = civil_from_days(days);
        let (seconds, micros) = (in_day / 1_000_000, in_day % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
        )
    }
}

/// Days since 1970-01-01 to a date of the proleptic Gregorian calendar, counted in 400-year eras
/// of years that begin in March (so that the leap day is a year's last).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let from_march_year_0 = days + 719_468;
    let era = from_march_year_0.div_euclid(DAYS_PER_ERA);
    let day_of_era = from_march_year_0.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(feature = "jiff")]
mod jiff_conversions {
    use super::Timestamp;

    /// Fails outside of jiff's range (years −9999 to 9999).
    impl TryFrom<Timestamp> for jiff::Timestamp {
        type Error = jiff::Error;
        fn try_from(at: Timestamp) -> Result<Self, jiff::Error> {
            Self::from_microsecond(at.as_micros())
        }
    }

    impl From<jiff::Timestamp> for Timestamp {
        fn from(at: jiff::Timestamp) -> Self {
            Self::from_micros(at.as_microsecond())
        }
    }
}

#[cfg(feature = "chrono")]
mod chrono_conversions {
    use chrono::{DateTime, Utc};

    use super::Timestamp;

    /// The timestamp lies outside of chrono's range (about 262,000 years either way).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
    #[error("timestamp is outside of the range that chrono can hold micros=`{0}`")]
    pub struct ChronoRangeError(i64);

    impl TryFrom<Timestamp> for DateTime<Utc> {
        type Error = ChronoRangeError;
        fn try_from(at: Timestamp) -> Result<Self, ChronoRangeError> {
            Self::from_timestamp_micros(at.as_micros()).ok_or(ChronoRangeError(at.as_micros()))
        }
    }

    impl From<DateTime<Utc>> for Timestamp {
        fn from(at: DateTime<Utc>) -> Self {
            Self::from_micros(at.timestamp_micros())
        }
    }
}

#[cfg(feature = "chrono")]
pub use chrono_conversions::ChronoRangeError;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prints_rfc_3339() {
        assert_eq!(
            Timestamp::UNIX_EPOCH.to_string(),
            "1970-01-01T00:00:00.000000Z"
        );
        assert_eq!(
            Timestamp::from_micros(951_827_696_000_001).to_string(),
            "2000-02-29T12:34:56.000001Z"
        );
        assert_eq!(
            Timestamp::from_micros(-1).to_string(),
            "1969-12-31T23:59:59.999999Z"
        );
    }

    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_micros(i64::MAX);
        assert_eq!(end + Duration::MAX, end);
        assert_eq!(Timestamp::UNIX_EPOCH.since(end), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn dates_agree_with_counting_day_by_day(days in -200_000_i64..200_000) {
            // The next day is either the next of its month or the first of a month.
            let (y, m, d) = civil_from_days(days);
            let next = civil_from_days(days + 1);
            let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
            let length = [31, 28 + i64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
                [usize::try_from(m - 1).unwrap()];
            let expected = match (d == length, m == 12) {
                (false, _) => (y, m, d + 1),
                (true, false) => (y, m + 1, 1),
                (true, true) => (y + 1, 1, 1),
            };
            prop_assert_eq!(next, expected);
        }

        #[test]
        fn since_inverts_add(at in -1_i64 << 50..1 << 50, by in 0_u64..1 << 50) {
            let at = Timestamp::from_micros(at);
            let by = Duration::from_micros(by);
            prop_assert_eq!((at + by).since(at), by);
            prop_assert_eq!((at + by) - by, at);
        }
    }
}
