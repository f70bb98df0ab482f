//! What a member has in hand.

use std::collections::HashMap;
use std::time::Duration;

use fanout_core::{Delivery, MessageId, Outcome, Receipt, Settlement, Verdict};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The receipts of deliveries that a member has not settled yet, so that leaving can give them back.
///
/// What was settled otherwise, in a transaction or by another member, is forgotten when its lease is
/// over for long: releasing it would change nothing.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<Hand>);

#[derive(Debug, Default)]
struct Hand {
    receipts: HashMap<MessageId, (Receipt, Instant)>,
    /// The size at which to look for what is over.
    sweep_at: usize,
}

/// The fewest receipts that are worth a sweep.
const SWEEP_MIN: usize = 1024;

impl Held {
    /// Notes deliveries whose lease lasts for `lease` from now.
    pub(crate) fn take(&self, deliveries: &[Delivery], lease: Duration) {
        let now = Instant::now();
        // Twice over, because leases are measured by another clock.
        let over = now.checked_add(lease * 2).unwrap_or(now);
        let mut hand = self.0.lock();
        hand.receipts
            .extend(deliveries.iter().map(|d| (d.message.id, (d.receipt, over))));
        if hand.receipts.len() > hand.sweep_at.max(SWEEP_MIN) {
            hand.receipts.retain(|_, (_, over)| *over > now);
            hand.sweep_at = 2 * hand.receipts.len();
        }
    }

    /// Notes that the leases of these last for `lease` from now.
    pub(crate) fn extended(&self, receipts: &[Receipt], lease: Duration) {
        let now = Instant::now();
        let over = now.checked_add(lease * 2).unwrap_or(now);
        let mut hand = self.0.lock();
        for receipt in receipts {
            match hand.receipts.get_mut(&receipt.id()) {
                Some((held, until)) if held == receipt => *until = over,
                _ => {}
            }
        }
    }

    /// Forgets what was settled, or turned out to be no longer ours.
    pub(crate) fn settled(&self, settlements: &[Settlement], outcomes: &[Outcome]) {
        let mut hand = self.0.lock();
        for (settlement, outcome) in settlements.iter().zip(outcomes) {
            let receipt = &settlement.receipt;
            // A stale receipt must not make the member forget a later delivery of the message.
            if *outcome != Outcome::OutOfOrder
                && hand
                    .receipts
                    .get(&receipt.id())
                    .is_some_and(|(held, _)| held == receipt)
            {
                hand.receipts.remove(&receipt.id());
            }
        }
    }

    /// Up to `limit` of what is in hand, as releases. They stay in hand until they are settled.
    pub(crate) fn releases(&self, limit: usize) -> Vec<Settlement> {
        let hand = self.0.lock();
        hand.receipts
            .values()
            .take(limit)
            .map(|(receipt, _)| Settlement {
                receipt: *receipt,
                verdict: Verdict::Release,
            })
            .collect()
    }
}
