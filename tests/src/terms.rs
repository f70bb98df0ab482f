//! What differs between the runs of one history.

use crate::modes::Modes;
use crate::size::full;

/// On which terms a history is run. Beyond these nothing that it ends in may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub modes: Modes,
    /// Whether the watermark must be exact at any time, or may lag behind until maintenance.
    pub exact_watermark: bool,
    /// Whether who must settle what is exact at any time, or only after maintenance.
    pub exact_accounting: bool,
    /// Whether both topics are read after every op, or mostly the one that the op is about, as everyday on
    /// Postgres.
    pub reads_all: bool,
}

impl Terms {
    /// The memory engine's.
    pub const fn memory(modes: Modes) -> Self {
        Self {
            modes,
            exact_watermark: true,
            exact_accounting: true,
            reads_all: true,
        }
    }

    /// The Postgres engine's; to read takes it long.
    pub fn postgres(modes: Modes) -> Self {
        Self {
            modes,
            exact_watermark: false,
            exact_accounting: false,
            reads_all: full(),
        }
    }
}
