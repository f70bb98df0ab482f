//! How a topic accounts for completion.

use crate::text_enum::text_enum;

text_enum! {
    /// How a topic accounts for the completion of its messages.
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
