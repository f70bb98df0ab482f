//! How fast to publish.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Messages per second over all publishers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    /// As fast as the groups follow.
    Max,
    /// On a schedule, whatever the groups do.
    PerSecond(f64),
}

impl Rate {
    /// The time between two batches of one publisher; none without a schedule.
    pub(crate) fn interval(self, batch: u32, publishers: u32) -> Option<Duration> {
        match self {
            Self::Max => None,
            Self::PerSecond(rate) => Some(Duration::from_secs_f64(
                f64::from(batch) * f64::from(publishers) / rate,
            )),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Self::Max),
            Ok(rate) if (0.001..1e9).contains(&rate) => Ok(Self::PerSecond(rate)),
            _ => Err("expected `max` or messages per second, above zero".to_owned()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::PerSecond(rate) => write!(f, "{rate}"),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Max => serializer.serialize_str("max"),
            Self::PerSecond(rate) => serializer.serialize_f64(*rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_max_and_positive_numbers() {
        assert_eq!("max".parse(), Ok(Rate::Max));
        assert_eq!("8000".parse(), Ok(Rate::PerSecond(8000.0)));
        for bad in ["", "0", "-1", "nan", "inf", "fast"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn publishers_share_the_rate() {
        let interval = Rate::PerSecond(1000.0).interval(100, 2);
        assert_eq!(interval, Some(Duration::from_millis(200)));
        assert_eq!(Rate::Max.interval(100, 2), None);
    }
}
