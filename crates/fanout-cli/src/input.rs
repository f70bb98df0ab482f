//! Values on the command line.

use std::time::Duration;

use fanout::{MessageId, StartPosition, Timestamp};

/// Where a subscription starts.
pub(crate) fn start(text: &str) -> Result<StartPosition, String> {
    let expected = || "expected `now`, `beginning`, `id:NUMBER` or `unix:SECONDS`".to_owned();
    match text {
        "now" => return Ok(StartPosition::FromNow),
        "beginning" => return Ok(StartPosition::FromBeginning),
        _ => {}
    }
    let (kind, number) = text.split_once(':').ok_or_else(expected)?;
    let number: u32 = match kind {
        "id" => {
            let id = number.parse().map_err(|_| expected())?;
            return Ok(StartPosition::FromMessage(MessageId(id)));
        }
        "unix" => number.parse().map_err(|_| expected())?,
        _ => return Err(expected()),
    };
    let since = Duration::from_secs(number.into());
    Ok(StartPosition::FromTimestamp(Timestamp::UNIX_EPOCH + since))
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
    fn starts_are_read_or_refused() {
        assert_eq!(start("now"), Ok(StartPosition::FromNow));
        assert_eq!(start("id:7"), Ok(StartPosition::FromMessage(MessageId(7))));
        assert_eq!(
            start("unix:1"),
            Ok(StartPosition::FromTimestamp(Timestamp::from_micros(
                1_000_000
            )))
        );
        for text in ["", "later", "id:", "id:x", "unix:-1", "7"] {
            assert!(start(text).is_err(), "{text}");
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
