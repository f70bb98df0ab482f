//! Claiming and settling, for members.

use std::time::Duration;

use fanout_core::{
    CursorReceipt, DeadLetter, DeadReason, Delivery, Extension, GroupIndex, GroupName, Outcome,
    Receipt, ReceiptForm, Settlement, SubscriptionId, Timestamp, TopicId, TrackedReceipt, Verdict,
    stored_error,
};
use rand::RngExt;

use crate::ledger::{ClaimTerms, Taken};
use crate::owed::Owed;
use crate::path::Path;
use crate::refusal::Refusal;
use crate::state::State;
use crate::subscription_state::SubscriptionState;

/// The subscription that a member works for.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) topic: TopicId,
    pub(crate) subscription: SubscriptionId,
    pub(crate) group: GroupName,
}

impl State {
    /// Leases due messages to a member of an active subscription.
    pub(crate) fn claim(
        &mut self,
        seat: &Seat,
        limit: usize,
        holder: u64,
        now: Timestamp,
    ) -> Vec<Delivery> {
        let topic = self.topics.get_mut(&seat.topic);
        let Some(state) = topic.and_then(|topic| topic.subscription_mut(seat.subscription)) else {
            return Vec::new();
        };
        let claim = state.ledger.claim(&mut ClaimTerms {
            now,
            limit,
            lease: state.subscription.options.lease,
            max_stalls: state.subscription.options.max_stalls,
            holder,
            next_token: &mut self.next_token,
        });
        let group = state.subscription.group_index;
        for owed in claim.poison {
            self.bury(seat, owed, DeadReason::Poison, now);
        }
        claim
            .taken
            .into_iter()
            .map(|taken| Delivery {
                receipt: receipt(seat, group, &taken),
                message: taken.entry.message.clone(),
                attempt: taken.attempt,
                until: taken.until,
            })
            .collect()
    }

    /// Files a message that has left the ledger as a dead letter: it counts as settled.
    fn bury(&mut self, seat: &Seat, owed: Owed, reason: DeadReason, now: Timestamp) {
        let message = owed.entry.message.clone();
        let id = message.id;
        let letter = DeadLetter {
            message,
            group: seat.group.clone(),
            attempts: owed.failures,
            reason,
            last_error: owed.last_error,
            dead_at: now,
        };
        // It may exceed the limit, and then publishing waits: a settlement is never refused.
        self.capacity.used += self.dead_letters.file(seat.topic, letter);
        let topic = self.topics.get_mut(&seat.topic);
        if let Some((state, log)) = topic.and_then(|topic| topic.parts(seat.subscription)) {
            log.complete(id, state.reading, now);
        }
    }

    /// Refuses receipts that are not of this topic and group.
    pub(crate) fn check_receipts<'a>(
        &self,
        seat: &Seat,
        receipts: impl IntoIterator<Item = &'a Receipt>,
    ) -> Result<(), Refusal> {
        let topic = self.topics.get(&seat.topic);
        for receipt in receipts {
            // Nobody knows the groups of a deleted topic; its receipts are stale anyway.
            let ours = receipt.topic() == seat.topic
                && topic.is_none_or(|topic| {
                    topic
                        .subscription(receipt.subscription())
                        .is_some_and(|state| state.subscription.group == seat.group)
                });
            if !ours {
                return Err(Refusal::ForeignReceipt(receipt.id()));
            }
        }
        Ok(())
    }

    /// Settles deliveries whose receipts were checked: one outcome for each, in order.
    pub(crate) fn settle(
        &mut self,
        seat: &Seat,
        settlements: &[Settlement],
        now: Timestamp,
    ) -> Vec<Outcome> {
        // Judged in the order of delivery, where there is one.
        let mut order: Vec<_> = (0..settlements.len()).collect();
        let state = self
            .topics
            .get(&seat.topic)
            .and_then(|topic| topic.subscription(seat.subscription));
        if let Some(state) = state {
            order.sort_by_key(|at| state.ledger.turn(settlements[*at].receipt.id()));
        }
        let mut outcomes = vec![Outcome::Stale; settlements.len()];
        for at in order {
            outcomes[at] = self.settle_one(seat, &settlements[at], now);
        }
        outcomes
    }

    fn settle_one(&mut self, seat: &Seat, settlement: &Settlement, now: Timestamp) -> Outcome {
        let id = settlement.receipt.id();
        let Some((state, log)) = self
            .topics
            .get_mut(&seat.topic)
            .and_then(|topic| topic.parts(seat.subscription))
        else {
            return Outcome::Stale;
        };
        let Some(owed) = current(state, &settlement.receipt) else {
            return Outcome::Stale;
        };
        if settlement.verdict == Verdict::Release {
            state.ledger.release(id);
            return Outcome::Applied;
        }
        if state.ledger.earlier(id).next().is_some() {
            return Outcome::OutOfOrder;
        }
        let Verdict::Fail(reason) = &settlement.verdict else {
            state.ledger.settle(id);
            log.complete(id, state.reading, now);
            return Outcome::Applied;
        };
        let (failures, error) = (owed.failures.saturating_add(1), stored_error(reason));
        let options = &state.subscription.options;
        if failures < options.max_attempts {
            let due = now + options.backoff.delay(failures, self.rng.random());
            state.ledger.retry(id, due, error, options.on_failure);
            return Outcome::Retry { due };
        }
        if let Some(owed) = state.ledger.settle(id) {
            let owed = Owed {
                failures,
                last_error: Some(error),
                ..owed
            };
            self.bury(seat, owed, DeadReason::AttemptsExhausted, now);
        }
        Outcome::DeadLettered
    }

    /// Moves the end of one lease whose receipt was checked.
    pub(crate) fn extend(
        &mut self,
        seat: &Seat,
        receipt: &Receipt,
        by: Duration,
        now: Timestamp,
    ) -> Extension {
        let state = self
            .topics
            .get_mut(&seat.topic)
            .and_then(|topic| topic.subscription_mut(seat.subscription));
        match state {
            Some(state) if current(state, receipt).is_some() => {
                let until = now + by;
                state.ledger.extend(receipt.id(), until);
                Extension::Extended { until }
            }
            _ => Extension::Stale,
        }
    }
}

/// The message, if the receipt is of its present lease with this subscription.
pub(crate) fn current<'a>(state: &'a SubscriptionState, receipt: &Receipt) -> Option<&'a Owed> {
    let token = match receipt.form() {
        ReceiptForm::Tracked(form) => form.token,
        ReceiptForm::Cursor(form) => form.delivery,
    };
    (receipt.subscription() == state.subscription.id)
        .then(|| state.ledger.held(receipt.id(), token))
        .flatten()
}

/// The receipt for a delivery, in the form that tells how the message reached the group.
fn receipt(seat: &Seat, group: GroupIndex, taken: &Taken) -> Receipt {
    let (topic, subscription) = (seat.topic, seat.subscription);
    let (id, attempt) = (taken.entry.message.id, taken.attempt);
    Receipt::new(match taken.path {
        Path::Alone => ReceiptForm::Tracked(TrackedReceipt {
            topic,
            subscription,
            group,
            id,
            attempt,
            token: taken.token,
        }),
        Path::Stream | Path::Lane => ReceiptForm::Cursor(CursorReceipt {
            topic,
            subscription,
            group,
            lane: taken.entry.lane,
            id,
            attempt,
            // Lanes have no owners here; deliveries are numbered across all of them.
            epoch: 0,
            delivery: taken.token,
        }),
    })
}
