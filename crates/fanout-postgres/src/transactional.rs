//! Publishing and settling inside the caller's transaction.

use async_trait::async_trait;
use diesel_async::AsyncPgConnection;
use fanout_core::{
    CursorReceipt, Error, ErrorKind, MessageId, NewMessage, OpenTx, Receipt, ReceiptForm, Result,
    TopicName, TrackedReceipt, Transactional,
};

use crate::PostgresBackend;
use crate::error::{ResultExt, foreign_receipt};
use crate::offset_watermark;
use crate::storage::{log, settlements, subscriptions};
use crate::transaction::CallersTransaction;

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
        let Some(first) = receipts.first() else {
            return Ok(());
        };
        check_common(tx, first, receipts).await?;
        let (topic, subscription, group) = (first.topic(), first.subscription(), first.group());
        let mut rows: Vec<TrackedReceipt> = Vec::new();
        let mut lanes: Vec<CursorReceipt> = Vec::new();
        for receipt in receipts {
            match receipt.form() {
                ReceiptForm::Tracked(tracked) => rows.push(*tracked),
                ReceiptForm::Cursor(cursor) => lanes.push(*cursor),
            }
        }
        rows.sort_unstable_by_key(|receipt| receipt.id);
        lanes.sort_unstable_by_key(|receipt| receipt.id);
        let mut ids: Vec<MessageId> = receipts.iter().map(Receipt::id).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::new(
                ErrorKind::StaleReceipt,
                format!(
                    "a message stands twice among the receipts id=`{}`",
                    twice[0]
                ),
            ));
        }
        match subscriptions::bit_of(tx, subscription).await? {
            None => return Err(foreign_receipt(first)),
            Some(present) if present == Some(group) => {}
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::StaleReceipt,
                    format!(
                        "subscription has ended or was sought subscription_id=`{subscription}`"
                    ),
                ));
            }
        }
        if !lanes.is_empty() {
            let earlier = match self.known_hub(topic) {
                Some(hub) => offset_watermark::prepare(&hub, group, &lanes).await?,
                None => None,
            };
            let Some(earlier) = earlier else {
                return Err(Error::new(
                    ErrorKind::StaleReceipt,
                    format!(
                        "a receipt is stale, or was fetched in another process topic_id=`{topic}` group_index=`{group}`"
                    ),
                ));
            };
            settlements::settle_lanes_in(tx, subscription, &lanes, &earlier).await?;
        }
        if rows.is_empty() {
            return Ok(());
        }
        let (ids, tokens): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .map(|receipt| (receipt.id.0, receipt.token))
            .unzip();
        settlements::settle_in(tx, subscription, &ids, &tokens).await
    }

    async fn begin(&self) -> Result<Box<dyn OpenTx<Tx = AsyncPgConnection>>> {
        self.check_open()?;
        let transaction = CallersTransaction::begin(self.pool(), self.room()).await?;
        Ok(Box::new(transaction))
    }
}

/// Checks that receipts are of one subscription. Those of the group's former and later ones are stale together;
/// those of several groups are foreign to each other.
async fn check_common(
    tx: &mut AsyncPgConnection,
    first: &Receipt,
    receipts: &[Receipt],
) -> Result<()> {
    // A seek gives the subscription another bit.
    let of = |receipt: &Receipt| (receipt.subscription(), receipt.group());
    let Some(other) = receipts.iter().find(|receipt| of(receipt) != of(first)) else {
        return Ok(());
    };
    let ids = receipts.iter().map(Receipt::subscription).collect();
    let groups = subscriptions::groups(tx, ids).await?;
    let group = groups.get(&first.subscription());
    let is_foreign =
        |receipt: &&Receipt| group.is_none() || groups.get(&receipt.subscription()) != group;
    Err(match receipts.iter().find(is_foreign) {
        Some(foreign) => foreign_receipt(foreign),
        None => Error::new(
            ErrorKind::StaleReceipt,
            format!(
                "receipts are of several subscriptions of the group, or from before and after a seek ids=`{}`,`{}`",
                first.id(),
                other.id()
            ),
        ),
    })
}
