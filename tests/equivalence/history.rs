//! A history: what is done to an engine.

use std::fmt;

use crate::handler::Handler;
use crate::op::Op;

/// Ops, what consumers do, and what is fixed before.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct History {
    /// The pub/sub topic refuses messages while nobody is subscribed.
    pub(crate) blocks_writes: bool,
    /// Maintenance runs while the history is drained; else fetches alone must do.
    pub(crate) maintained: bool,
    pub(crate) handler: Handler,
    pub(crate) ops: Vec<Op>,
}

/// One op a line: a shrunk history is read by people.
impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "blocks_writes={} maintained={} handler={:?}",
            self.blocks_writes, self.maintained, self.handler.0
        )?;
        for (step, op) in self.ops.iter().enumerate() {
            writeln!(f, "{:>3}. {op:?}", step + 1)?;
        }
        Ok(())
    }
}
