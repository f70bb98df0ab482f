//! Conveniences over [`Member`].

use async_trait::async_trait;

use crate::{Delivery, Error, ErrorKind, Member, Outcome, Receipt, Result, Settlement};

/// Conveniences over [`Member`], for every engine.
#[async_trait]
pub trait MemberExt: Member {
    /// Settles one delivery as handled.
    ///
    /// Errors: [`StaleReceipt`](ErrorKind::StaleReceipt), [`Fenced`](ErrorKind::Fenced),
    /// [`OutOfOrder`](ErrorKind::OutOfOrder), and those of [`Member::settle`].
    async fn done(&self, delivery: &Delivery) -> Result<()> {
        self.settle_one(Settlement::done(delivery.receipt))
            .await
            .map(drop)
    }

    /// Settles one delivery without handling it. Errors as [`done`](Self::done).
    async fn skip(&self, delivery: &Delivery) -> Result<()> {
        self.settle_one(Settlement::skip(delivery.receipt))
            .await
            .map(drop)
    }

    /// Reports that handling failed; returns whether and when it is tried again. Errors as
    /// [`done`](Self::done).
    async fn fail(&self, delivery: &Delivery, reason: &str) -> Result<Outcome> {
        self.settle_one(Settlement::fail(delivery.receipt, reason))
            .await
    }

    /// Gives a delivery back unhandled. Errors as [`done`](Self::done).
    async fn release(&self, delivery: &Delivery) -> Result<()> {
        self.settle_one(Settlement::release(delivery.receipt))
            .await
            .map(drop)
    }

    /// Settles deliveries as handled and returns how many settlements took effect; the rest were
    /// stale.
    async fn done_all(&self, deliveries: &[Delivery]) -> Result<usize> {
        let settlements: Vec<_> = deliveries
            .iter()
            .map(|d| Settlement::done(d.receipt))
            .collect();
        let outcomes = self.settle(&settlements).await?;
        Ok(outcomes
            .into_iter()
            .filter(|outcome| outcome.is_effective())
            .count())
    }

    /// Settles one delivery, with a refusal as an error.
    ///
    /// Errors: [`StaleReceipt`](ErrorKind::StaleReceipt), [`Fenced`](ErrorKind::Fenced),
    /// [`OutOfOrder`](ErrorKind::OutOfOrder), and those of [`Member::settle`].
    async fn settle_one(&self, settlement: Settlement) -> Result<Outcome> {
        let receipt = settlement.receipt;
        // One outcome for each settlement: that is the contract of `settle`.
        match self.settle(&[settlement]).await?[0] {
            Outcome::Stale => Err(stale(&receipt)),
            Outcome::Fenced => Err(Error::new(
                ErrorKind::Fenced,
                format!(
                    "the lane of the message has another owner id=`{}`",
                    receipt.id()
                ),
            )),
            Outcome::OutOfOrder => Err(Error::new(
                ErrorKind::OutOfOrder,
                format!(
                    "an earlier message of the key is unsettled id=`{}`",
                    receipt.id()
                ),
            )),
            effective => Ok(effective),
        }
    }
}

impl<M: Member + ?Sized> MemberExt for M {}

fn stale(receipt: &Receipt) -> Error {
    Error::new(
        ErrorKind::StaleReceipt,
        format!(
            "receipt is stale: its lease ended, or the message was settled topic_id=`{}` id=`{}` attempt=`{}`",
            receipt.topic(),
            receipt.id(),
            receipt.attempt()
        ),
    )
}
