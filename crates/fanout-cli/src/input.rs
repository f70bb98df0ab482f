//! Values on the command line.

use fanout::{MessageId, StartPosition, Timestamp};

/// A position in a topic.
pub(crate) fn position(text: &str) -> Result<StartPosition, String> {
    let expected = || {
        "expected `now`, `beginning`, `message:ID` or `timestamp:TIME`, the time as in \
         `2026-01-31T08:15:30Z`"
            .to_owned()
    };
    match text.split_once(':') {
        None if text == "now" => Ok(StartPosition::FromNow),
        None if text == "beginning" => Ok(StartPosition::FromBeginning),
        Some(("message", id)) => match id.parse() {
            Ok(id) => Ok(StartPosition::FromMessage(MessageId(id))),
            Err(_) => Err(expected()),
        },
        Some(("timestamp", time)) => match time.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(StartPosition::FromTimestamp(Timestamp::from_micros(
                time.as_microsecond(),
            ))),
            Err(error) => Err(format!("{error}; {}", expected())),
        },
        _ => Err(expected()),
    }
}

/// A position as [`position`] reads it.
pub(crate) fn position_text(position: StartPosition) -> String {
    match position {
        StartPosition::FromNow => "now".to_owned(),
        StartPosition::FromBeginning => "beginning".to_owned(),
        StartPosition::FromMessage(id) => format!("message:{id}"),
        StartPosition::FromTimestamp(time) => format!("timestamp:{time}"),
    }
}

/// A header: `name=value`.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected `name=value`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written() {
        let at = |micros| StartPosition::FromTimestamp(Timestamp::from_micros(micros));
        for (text, expected) in [
            ("now", StartPosition::FromNow),
            ("beginning", StartPosition::FromBeginning),
            ("message:7", StartPosition::FromMessage(MessageId(7))),
            ("timestamp:1970-01-01T00:00:01.000002Z", at(1_000_002)),
            ("timestamp:1969-12-31T23:59:59.999999Z", at(-1)),
        ] {
            assert_eq!(position(text), Ok(expected), "{text}");
            assert_eq!(position_text(expected), text);
        }
        assert_eq!(
            position("timestamp:1970-01-01T02:00:00+02:00"),
            Ok(at(0)),
            "any offset"
        );
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in [
            "",
            "later",
            "message:",
            "message:x",
            "now:",
            "timestamp:",
            "timestamp:soon",
            "timestamp:2026-01-31",
            "timestamp:2026-01-31T08:15:30",
            "timestamp:2026-02-30T08:15:30Z",
            "7",
        ] {
            assert!(position(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_header_may_have_an_empty_value_but_needs_a_name() {
        assert_eq!(header("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(header("a="), Ok(("a".to_owned(), String::new())));
        assert!(header("=b").is_err());
        assert!(header("a").is_err());
    }
}
