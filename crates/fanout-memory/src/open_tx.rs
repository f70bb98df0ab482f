//! A transaction that the engine has begun.

use async_trait::async_trait;
use fanout_core::{OpenTx, Result};

use crate::MemoryTx;

#[derive(Debug)]
pub(crate) struct OpenMemoryTx(pub(crate) MemoryTx);

#[async_trait]
impl OpenTx for OpenMemoryTx {
    type Tx = MemoryTx;

    fn tx(&mut self) -> &mut MemoryTx {
        &mut self.0
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.0.commit()
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        // Dropping it is all it takes.
        Ok(())
    }
}
