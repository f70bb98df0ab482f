//! Durations as people write them: `24h`, `30d`, `1m30s`, `500ms`.

use std::time::Duration;

/// Units and their lengths in microseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Reads a duration: numbers, each with its unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let expected = || "expected numbers with units d, h, m, s, ms or us, as in `1h30m`".to_owned();
    let mut rest = text.trim();
    let mut micros = 0_u64;
    if rest.is_empty() {
        return Err(expected());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let length = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, length) = length.filter(|_| digits > 0).ok_or_else(expected)?;
        micros = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*length))
            .and_then(|part| micros.checked_add(part))
            .ok_or("too long")?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_micros(micros))
}

/// Writes a duration, to the microsecond, so that [`parse`] reads it.
pub(crate) fn format(duration: Duration) -> String {
    let mut micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, length) in UNITS {
        if micros >= length {
            text.push_str(&format!("{}{unit}", micros / length));
            micros %= length;
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for (text, micros, written) in [
            ("24h", 86_400_000_000, "1d"),
            ("30d", 30 * 86_400_000_000, "30d"),
            ("500ms", 500_000, "500ms"),
            ("1m30s", 90_000_000, "1m30s"),
            ("1h 5us", 3_600_000_005, "1h5us"),
            ("0s", 0, "0s"),
        ] {
            let duration = Duration::from_micros(micros);
            assert_eq!(parse(text), Ok(duration), "{text}");
            assert_eq!(format(duration), written);
            assert_eq!(parse(written), Ok(duration));
        }
    }

    #[test]
    fn refuses_what_is_ambiguous_or_too_long() {
        for text in [
            "",
            "5",
            "h",
            "5 h 3",
            "-1s",
            "1.5h",
            "5H",
            "99999999999999d",
            "1y",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
