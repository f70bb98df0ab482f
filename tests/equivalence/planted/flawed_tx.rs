//! A transaction of a flawed engine.

use std::sync::Arc;

use async_trait::async_trait;
use fanout_core::{MessageId, OpenTx, Result, TopicName};
use fanout_memory::MemoryTx;
use parking_lot::Mutex;

use super::Flaw;
use super::notes::Notes;

/// What calls inside the transaction take.
#[derive(Debug)]
pub(crate) struct FlawedTx {
    pub(super) inner: Box<dyn OpenTx<Tx = MemoryTx>>,
    pub(super) published: Vec<(TopicName, Vec<MessageId>)>,
}

#[derive(Debug)]
pub(super) struct OpenFlawedTx {
    pub(super) tx: FlawedTx,
    pub(super) flaw: Flaw,
    pub(super) notes: Arc<Mutex<Notes>>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl OpenTx for OpenFlawedTx {
    type Tx = FlawedTx;

    fn tx(&mut self) -> &mut FlawedTx {
        &mut self.tx
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        self.tx.inner.commit().await?;
        let mut notes = self.notes.lock();
        for (topic, ids) in &self.tx.published {
            notes.commit(topic, ids);
        }
        Ok(())
    }

    async fn rollback(self: Box<Self>) -> Result<()> {
        if self.flaw == Flaw::ForgetsRollbacks {
            // A doomed one cannot commit.
            let _ = self.tx.inner.commit().await;
            return Ok(());
        }
        self.tx.inner.rollback().await
    }
}
