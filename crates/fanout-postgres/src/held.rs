//! What a member has in hand.

use std::collections::HashMap;

use fanout_core::{Delivery, MessageId, Outcome, Receipt, Settlement, Verdict};
use parking_lot::Mutex;

/// The receipts of deliveries that a member has not settled yet, so that leaving can give them back.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<HashMap<MessageId, Receipt>>);

impl Held {
    pub(crate) fn take(&self, deliveries: &[Delivery]) {
        self.0
            .lock()
            .extend(deliveries.iter().map(|d| (d.message.id, d.receipt)));
    }

    /// Forgets what was settled, or turned out to be no longer ours.
    pub(crate) fn settled(&self, settlements: &[Settlement], outcomes: &[Outcome]) {
        let mut held = self.0.lock();
        for (settlement, outcome) in settlements.iter().zip(outcomes) {
            if *outcome != Outcome::OutOfOrder {
                Self::forget(&mut held, &settlement.receipt);
            }
        }
    }

    /// All that is in hand, as releases.
    pub(crate) fn releases(&self) -> Vec<Settlement> {
        let held = std::mem::take(&mut *self.0.lock());
        held.into_values()
            .map(|receipt| Settlement {
                receipt,
                verdict: Verdict::Release,
            })
            .collect()
    }

    fn forget(held: &mut HashMap<MessageId, Receipt>, receipt: &Receipt) {
        // A stale receipt must not make the member forget a later delivery of the message.
        if held.get(&receipt.id()) == Some(receipt) {
            held.remove(&receipt.id());
        }
    }
}
