//! A history: what is done to an engine.

use std::fmt;

use fanout_core::CompletionMode;

use crate::handler::Handler;
use crate::op::Op;
use crate::reader::Order;

/// Ops, what consumers do, and what is fixed before.
#[derive(Clone, PartialEq, Eq)]
pub struct History {
    /// The pub/sub topic refuses messages while nobody is subscribed.
    pub blocks_writes: bool,
    /// Maintenance runs while the history is drained; else fetches alone must do.
    pub maintained: bool,
    /// The members that there are drain it; else new ones do.
    pub members_stay: bool,
    /// The topics' mode at first, where modes are mixed.
    pub first_mode: CompletionMode,
    /// How many lanes the topics have.
    pub lanes: u16,
    /// In which order each group of the pub/sub topic reads.
    pub orders: [Order; 3],
    pub handler: Handler,
    pub ops: Vec<Op>,
}

/// One op a line: a shrunk history is read by people.
impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "blocks_writes={} maintained={} members_stay={} first_mode={} lanes={} orders={:?} handler={:?}",
            self.blocks_writes,
            self.maintained,
            self.members_stay,
            self.first_mode,
            self.lanes,
            self.orders,
            self.handler.0
        )?;
        for (step, op) in self.ops.iter().enumerate() {
            writeln!(f, "{:>3}. {op:?}", step + 1)?;
        }
        Ok(())
    }
}
