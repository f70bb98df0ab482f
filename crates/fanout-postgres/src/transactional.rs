//! Publishing and settling inside the caller's transaction.

use async_trait::async_trait;
use diesel_async::AsyncPgConnection;
use fanout_core::{
    Error, ErrorKind, MessageId, NewMessage, OpenTx, Receipt, ReceiptForm, Result, TopicName,
    Transactional,
};

use crate::PostgresBackend;
use crate::error::{ResultExt, foreign_receipt};
use crate::member::common_group;
use crate::storage::{log, settlements};
use crate::transaction::Transaction;

#[async_trait]
impl Transactional for PostgresBackend {
    type Tx = AsyncPgConnection;

    async fn publish_in(
        &self,
        tx: &mut AsyncPgConnection,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<MessageId>> {
        self.check_open()?;
        NewMessage::check_batch(&messages)?;
        log::publish(tx, topic, &messages, self.now())
            .await
            .reading()
    }

    async fn settle_in(&self, tx: &mut AsyncPgConnection, receipts: &[Receipt]) -> Result<()> {
        self.check_open()?;
        let Some((topic, group)) = common_group(receipts)? else {
            return Ok(());
        };
        let mut rows = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            match receipt.form() {
                ReceiptForm::Tracked(tracked) => rows.push((tracked.id.0, tracked.token)),
                ReceiptForm::Cursor(_) => return Err(foreign_receipt(receipt)),
            }
        }
        rows.sort_unstable();
        if let Some(twice) = rows.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::new(
                ErrorKind::StaleReceipt,
                format!(
                    "a message stands twice among the receipts id=`{}`",
                    twice[0].0
                ),
            ));
        }
        let (ids, tokens): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        match settlements::subscription_of(tx, topic, group).await? {
            Some(subscription) => settlements::settle_in(tx, subscription, &ids, &tokens).await,
            None if settlements::bit_is_known(tx, topic, group).await? => Err(Error::new(
                ErrorKind::StaleReceipt,
                format!("subscription has ended topic_id=`{topic}` group_index=`{group}`"),
            )),
            None => Err(foreign_receipt(&receipts[0])),
        }
    }

    async fn begin(&self) -> Result<Box<dyn OpenTx<Tx = AsyncPgConnection>>> {
        self.check_open()?;
        Ok(Box::new(Transaction::begin(self.pool()).await?))
    }
}
