//! How far a lane has read its span.

use std::sync::{Arc, LazyLock};

use fanout_core::Snapshot;

use crate::cursor::block::Block;
use crate::cursor::tick::Tick;

/// How far a span was read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) block: Arc<Block>,
    /// What this tick sees was read before.
    pub(super) since: Tick,
    /// Up to this id.
    pub(super) to: i64,
    /// There is no more.
    pub(super) complete: bool,
}

/// The beginning of a span that is only promised.
static NOWHERE: LazyLock<Tick> = LazyLock::new(|| Tick {
    number: i64::MAX,
    snapshot: Arc::new(Snapshot::nothing()),
});

impl Reading {
    /// A span that is known by its end alone.
    pub(super) fn promised(since: Tick, through: Tick) -> Self {
        Self {
            block: Arc::new(Block::new(NOWHERE.clone(), through, false)),
            since,
            to: 0,
            complete: false,
        }
    }

    pub(super) fn is_promise(&self) -> bool {
        self.block.from.number == NOWHERE.number
    }
}
