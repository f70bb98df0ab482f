//! Publishing and settling inside a transaction.

use std::sync::Arc;

use async_trait::async_trait;
use fanout_core::{MessageId, NewMessage, OpenTx, Receipt, Result, TopicName, Transactional};

use crate::open_tx::OpenMemoryTx;
use crate::{MemoryBackend, MemoryTx};

#[async_trait]
impl Transactional for MemoryBackend {
    type Tx = MemoryTx;

    async fn publish_in(
        &self,
        tx: &mut MemoryTx,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<MessageId>> {
        tx.publish(&self.shared, topic, messages)
    }

    async fn settle_in(&self, tx: &mut MemoryTx, receipts: &[Receipt]) -> Result<()> {
        tx.settle(&self.shared, receipts)
    }

    async fn begin(&self) -> Result<Box<dyn OpenTx<Tx = MemoryTx>>> {
        let session = self.shared.step(|state, _| Ok(state.next_session()))?;
        let tx = MemoryTx::new(Arc::clone(&self.shared), session);
        Ok(Box::new(OpenMemoryTx(tx)))
    }
}
