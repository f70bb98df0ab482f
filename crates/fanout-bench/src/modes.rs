//! Which modes to measure.

use std::str::FromStr;

use fanout_core::CompletionMode;

/// One mode, or both, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Modes {
    One(CompletionMode),
    Both,
}

impl Modes {
    pub(crate) fn list(self) -> Vec<CompletionMode> {
        match self {
            Self::One(mode) => vec![mode],
            Self::Both => CompletionMode::ALL.to_vec(),
        }
    }
}

impl FromStr for Modes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "both" {
            return Ok(Self::Both);
        }
        let names: Vec<_> = CompletionMode::ALL
            .iter()
            .map(|mode| mode.as_str())
            .collect();
        text.parse()
            .map(Self::One)
            .map_err(|_| format!("expected {}, both", names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_mode_or_both() {
        let offset = CompletionMode::OffsetWatermark;
        assert_eq!("offset-watermark".parse(), Ok(Modes::One(offset)));
        assert_eq!("both".parse(), Ok(Modes::Both));
        assert_eq!(Modes::Both.list().len(), 2);
        assert!("neither".parse::<Modes>().is_err());
    }
}
