//! Times and durations in Postgres' types.

use std::time::Duration;

use diesel::data_types::{PgInterval, PgTimestamp};
use fanout_core::Timestamp;

/// 2000-01-01T00:00:00Z, where Postgres counts from, in microseconds since the Unix epoch.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
const DAY: u64 = 24 * 3600;

pub(super) fn to_timestamp(at: PgTimestamp) -> Timestamp {
    Timestamp::from_micros(at.0.saturating_add(POSTGRES_EPOCH))
}

pub(super) fn from_timestamp(at: Timestamp) -> PgTimestamp {
    PgTimestamp(at.as_micros().saturating_sub(POSTGRES_EPOCH))
}

pub(super) fn from_duration(duration: Duration) -> PgInterval {
    PgInterval::from_microseconds(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

/// Days have 24 hours and months 30 days, as when Postgres compares intervals: an operator may have
/// written such a value by hand. A negative one counts as zero.
pub(super) fn to_duration(interval: PgInterval) -> Duration {
    let days = i64::from(interval.days) + 30 * i64::from(interval.months);
    let days = Duration::from_secs(u64::try_from(days).unwrap_or(0) * DAY);
    days + Duration::from_micros(u64::try_from(interval.microseconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for at in [
            Timestamp::UNIX_EPOCH,
            Timestamp::from_micros(-1),
            Timestamp::from_micros(1 << 50),
        ] {
            assert_eq!(to_timestamp(from_timestamp(at)), at);
        }
        let duration = Duration::from_micros(30 * 86_400_000_000 + 1);
        assert_eq!(to_duration(from_duration(duration)), duration);
    }

    #[test]
    fn reads_intervals_written_by_hand() {
        let interval = PgInterval::new(1_000_000, 2, 1);
        assert_eq!(to_duration(interval), Duration::from_secs(32 * 86_400 + 1));
        assert_eq!(to_duration(PgInterval::new(-5, 0, 0)), Duration::ZERO);
    }
}
