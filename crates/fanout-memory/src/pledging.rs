//! Settling in a transaction: pledged while it is open, fulfilled when it commits.

use std::collections::BTreeSet;

use fanout_core::{MessageId, Receipt, SubscriptionId, Timestamp, TopicId};

use crate::reading::Reading;
use crate::refusal::Refusal;
use crate::settling::{Seat, current};
use crate::state::State;
use crate::topic_state::TopicState;

/// A message that a transaction settles, and for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pledge {
    pub(crate) topic: TopicId,
    pub(crate) subscription: SubscriptionId,
    reading: Reading,
    id: MessageId,
}

impl State {
    /// Notes that a transaction settles these deliveries of one group when it commits.
    pub(crate) fn pledge(&mut self, tx: u64, receipts: &[Receipt]) -> Result<Vec<Pledge>, Refusal> {
        let Some(first) = receipts.first() else {
            return Ok(Vec::new());
        };
        let foreign = || Refusal::ForeignReceipt(first.id());
        let seat = self
            .topics
            .get(&first.topic())
            .and_then(|topic| seat_of(topic, first))
            .ok_or_else(foreign)?;
        self.check_receipts(&seat, receipts)?;
        let state = self
            .topics
            .get_mut(&seat.topic)
            .and_then(|topic| topic.subscription_mut(seat.subscription))
            .ok_or_else(foreign)?;
        let mut ids = BTreeSet::new();
        for receipt in receipts {
            let id = receipt.id();
            let settling = current(state, receipt)
                .ok_or(Refusal::StaleReceipt(id))?
                .settling;
            match settling {
                Some(other) if other != tx => return Err(Refusal::SettledElsewhere(id)),
                Some(_) => return Err(Refusal::StaleReceipt(id)),
                None if !ids.insert(id) => return Err(Refusal::StaleReceipt(id)),
                None => {}
            }
        }
        for id in &ids {
            let mut earlier = state.ledger.earlier(*id);
            if earlier.any(|owed| owed.settling != Some(tx) && !ids.contains(&owed.place.id)) {
                return Err(Refusal::OutOfOrder(*id));
            }
        }
        let pledges: Vec<_> = ids
            .into_iter()
            .map(|id| Pledge {
                topic: seat.topic,
                subscription: seat.subscription,
                reading: state.reading,
                id,
            })
            .collect();
        for pledge in &pledges {
            state.ledger.pledge(pledge.id, tx);
        }
        Ok(pledges)
    }

    /// Whether a transaction may settle what it pledged: nobody else has.
    pub(crate) fn check_pledge(&self, tx: u64, pledge: &Pledge) -> Result<(), Refusal> {
        let state = self
            .topics
            .get(&pledge.topic)
            .and_then(|topic| topic.subscription(pledge.subscription));
        match state {
            // The subscription has ended, or was sought: there is nothing to settle any more.
            None => Ok(()),
            Some(state) if !state.subscription.status.counts() => Ok(()),
            Some(state) if state.reading != pledge.reading => Ok(()),
            Some(state) => match state.ledger.get(pledge.id) {
                Some(owed) if owed.settling == Some(tx) => Ok(()),
                _ => Err(Refusal::SettledMeanwhile(pledge.id)),
            },
        }
    }

    /// Settles what a transaction pledged, whoever has the message in hand by now.
    pub(crate) fn fulfil(&mut self, pledge: &Pledge, now: Timestamp) {
        let parts = self
            .topics
            .get_mut(&pledge.topic)
            .and_then(|topic| topic.parts(pledge.subscription));
        if let Some((state, log)) = parts
            && state.reading == pledge.reading
            && state.ledger.settle(pledge.id).is_some()
        {
            log.complete(pledge.id, pledge.reading, now);
        }
    }

    /// Takes back what a transaction pledged.
    pub(crate) fn withdraw(&mut self, tx: u64, pledges: &[Pledge]) {
        for pledge in pledges {
            let state = self
                .topics
                .get_mut(&pledge.topic)
                .and_then(|topic| topic.subscription_mut(pledge.subscription));
            if let Some(state) = state {
                state.ledger.withdraw(pledge.id, tx);
            }
        }
    }
}

/// The seat that the receipt was given to.
fn seat_of(topic: &TopicState, receipt: &Receipt) -> Option<Seat> {
    let subscription = &topic.subscription(receipt.subscription())?.subscription;
    Some(Seat {
        topic: topic.topic.id,
        subscription: subscription.id,
        group: subscription.group.clone(),
    })
}
