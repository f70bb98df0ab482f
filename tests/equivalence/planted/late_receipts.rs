//! An engine that takes no receipt after the end of its lease.

use fanout_core::{Backend, Outcome, Receipt, Result, Settlement, Timestamp};

use super::flawed_member::FlawedMember;

impl FlawedMember {
    /// Which of the receipts are of leases that have ended and that nobody else has.
    async fn expired(&self, receipts: &[Receipt]) -> Result<Vec<bool>> {
        let topic = self.inner.subscription().topic;
        let stats = self.backend.stats(&topic).await?;
        let now = stats.first().map_or(Timestamp::default(), |s| s.read_at);
        let until = |receipt: &Receipt| {
            let notes = self.notes.lock();
            let extended = notes.extended.get(receipt).copied();
            let delivered = notes.delivered.iter().find(|d| d.receipt == *receipt);
            extended.or(delivered.map(|d| d.until))
        };
        let mut expired = Vec::new();
        for receipt in receipts {
            let ended = until(receipt).is_some_and(|until| until <= now);
            let taken = ended
                && self.inner.settle(&[Settlement::release(*receipt)]).await?[0].is_effective();
            expired.push(taken);
        }
        Ok(expired)
    }

    /// Settles what is still in hand by the clock.
    pub(super) async fn settle_in_time(&self, settlements: &[Settlement]) -> Result<Vec<Outcome>> {
        let receipts: Vec<_> = settlements.iter().map(|s| s.receipt).collect();
        let group = self.inner.subscription().group_index;
        if receipts.iter().any(|receipt| receipt.group() != group) {
            return self.inner.settle(settlements).await;
        }
        let expired = self.expired(&receipts).await?;
        let mut outcomes = self.inner.settle(settlements).await?;
        for (outcome, expired) in outcomes.iter_mut().zip(expired) {
            if expired {
                *outcome = Outcome::Fenced;
            }
        }
        Ok(outcomes)
    }
}
