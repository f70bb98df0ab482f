//! A history: what is done to an engine.

use std::fmt;

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
            "blocks_writes={} maintained={} lanes={} orders={:?} handler={:?}",
            self.blocks_writes, self.maintained, self.lanes, self.orders, self.handler.0
        )?;
        for (step, op) in self.ops.iter().enumerate() {
            writeln!(f, "{:>3}. {op:?}", step + 1)?;
        }
        Ok(())
    }
}
