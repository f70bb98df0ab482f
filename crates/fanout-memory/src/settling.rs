//! Claiming and settling, for members.

use std::time::Duration;

use fanout_core::{
    DeadLetter, DeadReason, Delivery, Extension, GroupName, MessageId, Outcome, Receipt,
    ReceiptForm, Settlement, SubscriptionId, Timestamp, TopicId, TrackedReceipt, Verdict,
    stored_error,
};
use rand::RngExt;

use crate::ledger::ClaimTerms;
use crate::owed::Owed;
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
        let Some(topic) = self.topics.get_mut(&seat.topic) else {
            return Vec::new();
        };
        let Some((state, log)) = topic.parts(seat.subscription) else {
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
        let deliveries = claim
            .taken
            .into_iter()
            .filter_map(|taken| {
                Some(Delivery {
                    message: log.message(taken.id)?.clone(),
                    attempt: taken.attempt,
                    until: taken.until,
                    receipt: Receipt::new(ReceiptForm::Tracked(TrackedReceipt {
                        topic: seat.topic,
                        group,
                        id: taken.id,
                        attempt: taken.attempt,
                        token: taken.token,
                    })),
                })
            })
            .collect();
        for (id, owed) in claim.poison {
            self.bury(seat, id, owed, DeadReason::Poison, now);
        }
        deliveries
    }

    /// Files a message that has left the ledger as a dead letter: it counts as settled.
    fn bury(&mut self, seat: &Seat, id: MessageId, owed: Owed, reason: DeadReason, now: Timestamp) {
        let Some(topic) = self.topics.get_mut(&seat.topic) else {
            return;
        };
        if let Some(message) = topic.log.message(id).cloned() {
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
        }
        topic.log.complete(id, seat.subscription, now);
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
                && matches!(receipt.form(), ReceiptForm::Tracked(_))
                && topic.is_none_or(|topic| {
                    topic
                        .with_index(receipt.group())
                        .is_some_and(|state| state.subscription.group == seat.group)
                });
            if !ours {
                return Err(Refusal::ForeignReceipt(receipt.id()));
            }
        }
        Ok(())
    }

    /// Settles one delivery whose receipt was checked.
    pub(crate) fn settle(
        &mut self,
        seat: &Seat,
        settlement: &Settlement,
        now: Timestamp,
    ) -> Outcome {
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
        match &settlement.verdict {
            Verdict::Done | Verdict::Skip => {
                state.ledger.settle(id);
                log.complete(id, seat.subscription, now);
                Outcome::Applied
            }
            Verdict::Release => {
                state.ledger.release(id);
                Outcome::Applied
            }
            Verdict::Fail(reason) => {
                let (failures, error) = (owed.failures.saturating_add(1), stored_error(reason));
                let options = &state.subscription.options;
                if failures < options.max_attempts {
                    let due = now + options.backoff.delay(failures, self.rng.random());
                    state.ledger.retry(id, due, error);
                    return Outcome::Retry { due };
                }
                if let Some(owed) = state.ledger.settle(id) {
                    let owed = Owed {
                        failures,
                        last_error: Some(error),
                        ..owed
                    };
                    self.bury(seat, id, owed, DeadReason::AttemptsExhausted, now);
                }
                Outcome::DeadLettered
            }
        }
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
    match receipt.form() {
        ReceiptForm::Tracked(form) if form.group == state.subscription.group_index => {
            state.ledger.held(form.id, form.token)
        }
        _ => None,
    }
}
