//! What differs between the runs of one history.

use fanout_core::CompletionMode;

/// On which terms a history is run. Beyond these nothing that it ends in may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How both topics account for completion.
    pub mode: CompletionMode,
    /// Whether the watermark must be exact at any time, or may lag behind until maintenance.
    pub exact_watermark: bool,
}

impl Terms {
    pub const MODES: [CompletionMode; 2] = [
        CompletionMode::ReferenceCounting,
        CompletionMode::OffsetWatermark,
    ];

    /// The memory engine's.
    pub const fn memory(mode: CompletionMode) -> Self {
        Self {
            mode,
            exact_watermark: true,
        }
    }

    /// The Postgres engine's.
    pub const fn postgres(mode: CompletionMode) -> Self {
        Self {
            mode,
            exact_watermark: false,
        }
    }
}
