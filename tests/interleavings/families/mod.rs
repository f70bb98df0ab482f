//! Scripts, by what they are about. All on one lane, so that sessions meet in it.

pub(crate) mod changing_mode;
pub(crate) mod lifecycle;
pub(crate) mod ordering;
pub(crate) mod subscribing;
pub(crate) mod takeover;
pub(crate) mod ticking;
pub(crate) mod transactions;

use fanout_core::CompletionMode;

/// The other way of accounting.
fn other(mode: CompletionMode) -> CompletionMode {
    match mode {
        CompletionMode::ReferenceCounting => CompletionMode::OffsetWatermark,
        CompletionMode::OffsetWatermark => CompletionMode::ReferenceCounting,
    }
}
