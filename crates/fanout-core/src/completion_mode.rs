//! How a topic accounts for completion.

use crate::text_enum::text_enum;

text_enum! {
    /// How a topic accounts for the completion of its messages.
    ///
    /// Fixed for each message when it is published, so that a topic's mode may change while messages
    /// are under way.
    #[derive(Default)]
    CompletionMode, "completion mode" {
        /// A tracking row per message and group, and a bitmap: low fan-out, strict per-message
        /// acknowledgement. The default.
        #[default]
        ReferenceCounting = "reference-counting",
        /// Cursors with compare-and-swap over a log: high fan-out, order.
        OffsetWatermark = "offset-watermark",
    }
}

impl CompletionMode {
    /// The mode that a topic comes from when it changes to this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::ReferenceCounting => Self::OffsetWatermark,
            Self::OffsetWatermark => Self::ReferenceCounting,
        }
    }

    /// Up to this many groups reference counting is the better choice.
    const FEW_GROUPS: usize = 8;
    /// Above this many groups it is not advisable.
    const MANY_GROUPS: usize = 16;

    /// The mode for a topic with about this many groups; reference counting when nobody knows.
    ///
    /// Reference counting writes a row per message and group, cursors write nothing per message. Up
    /// to 8 groups those rows are worth their price; from 9 to 16 they are with a warning; above that
    /// cursors are recommended.
    ///
    /// ```
    /// use fanout_core::CompletionMode;
    ///
    /// assert_eq!(CompletionMode::recommended(None).mode, CompletionMode::ReferenceCounting);
    /// assert_eq!(CompletionMode::recommended(Some(40)).mode, CompletionMode::OffsetWatermark);
    /// ```
    #[must_use]
    pub const fn recommended(expected_groups: Option<usize>) -> RecommendedMode {
        let (mode, warning) = match expected_groups {
            None | Some(0..=Self::FEW_GROUPS) => (Self::ReferenceCounting, None),
            Some(..=Self::MANY_GROUPS) => (
                Self::ReferenceCounting,
                Some(
                    "each message costs a row for each of more than 8 groups; offset-watermark costs none",
                ),
            ),
            Some(_) => (Self::OffsetWatermark, None),
        };
        RecommendedMode { mode, warning }
    }
}

/// What [`CompletionMode::recommended`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecommendedMode {
    /// The mode.
    pub mode: CompletionMode,
    /// What speaks against it, in one line.
    pub warning: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recommendation_turns_at_8_and_16_groups() {
        let of = |groups| {
            let recommended = CompletionMode::recommended(Some(groups));
            (recommended.mode, recommended.warning.is_some())
        };
        assert_eq!(of(0), (CompletionMode::ReferenceCounting, false));
        assert_eq!(of(8), (CompletionMode::ReferenceCounting, false));
        assert_eq!(of(9), (CompletionMode::ReferenceCounting, true));
        assert_eq!(of(16), (CompletionMode::ReferenceCounting, true));
        assert_eq!(of(17), (CompletionMode::OffsetWatermark, false));
    }
}
