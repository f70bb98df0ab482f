//! A consumer's session.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fanout_core::{
    Extension, Fetched, Member, MemberCounters, MemberName, Outcome, Receipt, Result, Settlement,
    Subscription, SubscriptionStatus, Timestamp, check_lease,
};
use parking_lot::Mutex;

use crate::refusal::Refusal;
use crate::settling::Seat;
use crate::shared::Shared;
use crate::state::State;
use crate::subscription_state::SubscriptionState;

/// One member of a group.
pub(crate) struct MemoryMember {
    shared: Arc<Shared>,
    seat: Seat,
    session: u64,
    name: MemberName,
    subscription: Mutex<Subscription>,
    counters: Mutex<MemberCounters>,
    /// Read and set only within a step, so that nothing is leased after the leaving.
    left: AtomicBool,
}

impl MemoryMember {
    pub(crate) fn new(
        shared: Arc<Shared>,
        seat: Seat,
        session: u64,
        name: Option<MemberName>,
        subscription: Subscription,
    ) -> Result<Self, Refusal> {
        let name = match name {
            Some(name) => name,
            None => MemberName::new(format!("member-{session}"))?,
        };
        Ok(Self {
            shared,
            seat,
            session,
            name,
            subscription: Mutex::new(subscription),
            counters: Mutex::default(),
            left: AtomicBool::new(false),
        })
    }

    /// A step of the engine, unless the member has left.
    fn step<T>(&self, step: impl FnOnce(&mut State, Timestamp) -> Result<T, Refusal>) -> Result<T> {
        self.shared.step(|state, now| {
            if self.left.load(Ordering::Relaxed) {
                return Err(Refusal::Left {
                    topic: self.subscription.lock().topic.clone(),
                    group: self.seat.group.clone(),
                });
            }
            step(state, now)
        })
    }

    fn own<'a>(&self, state: &'a mut State) -> Result<&'a mut SubscriptionState, Refusal> {
        state
            .topics
            .get_mut(&self.seat.topic)
            .and_then(|topic| topic.subscription_mut(self.seat.subscription))
            .ok_or_else(|| Refusal::TopicDeleted(self.subscription.lock().topic.clone()))
    }

    fn count(&self, outcomes: &[Outcome], settlements: &[Settlement]) {
        let mut counters = self.counters.lock();
        for (outcome, settlement) in outcomes.iter().zip(settlements) {
            if outcome.is_effective() {
                counters.settled += 1;
            } else {
                counters.refused += 1;
            }
            counters.completion_attempts += u64::from(completes(*outcome, settlement));
        }
    }
}

/// Whether the message is settled by it.
fn completes(outcome: Outcome, settlement: &Settlement) -> bool {
    use fanout_core::Verdict::{Done, Skip};
    match outcome {
        Outcome::Applied => matches!(settlement.verdict, Done | Skip),
        Outcome::DeadLettered => true,
        Outcome::Retry { .. } | Outcome::Stale | Outcome::OutOfOrder | Outcome::Fenced => false,
    }
}

impl fmt::Debug for MemoryMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryMember")
            .field("name", &self.name)
            .field("seat", &self.seat)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Member for MemoryMember {
    fn subscription(&self) -> Subscription {
        self.subscription.lock().clone()
    }

    fn name(&self) -> &MemberName {
        &self.name
    }

    async fn fetch(&self, limit: usize) -> Result<Fetched> {
        self.step(|state, now| {
            if limit == 0 {
                return Err(Refusal::ZeroLimit);
            }
            let own = self.own(state)?;
            match own.subscription.status {
                SubscriptionStatus::Active => {}
                SubscriptionStatus::Paused => return Ok(Fetched::default()),
                SubscriptionStatus::Dead | SubscriptionStatus::Cancelled => {
                    return Err(own.ended());
                }
            }
            let deliveries = state.claim(&self.seat, limit, self.session, now);
            self.counters.lock().delivered += deliveries.len() as u64;
            Ok(Fetched {
                deliveries,
                gaps: Vec::new(),
            })
        })
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Outcome>> {
        self.step(|state, now| {
            state.check_receipts(&self.seat, settlements.iter().map(|s| &s.receipt))?;
            let outcomes = state.settle(&self.seat, settlements, now);
            self.count(&outcomes, settlements);
            Ok(outcomes)
        })
    }

    async fn extend(&self, receipts: &[Receipt], by: Duration) -> Result<Vec<Extension>> {
        self.step(|state, now| {
            check_lease(by)?;
            state.check_receipts(&self.seat, receipts)?;
            Ok(receipts
                .iter()
                .map(|receipt| state.extend(&self.seat, receipt, by, now))
                .collect())
        })
    }

    async fn heartbeat(&self) -> Result<Subscription> {
        self.step(|state, now| {
            let subscription = self.own(state)?.beat(now)?;
            self.subscription.lock().clone_from(&subscription);
            Ok(subscription)
        })
    }

    fn counters(&self) -> MemberCounters {
        *self.counters.lock()
    }

    async fn leave(&self) -> Result<()> {
        self.shared.step(|state, _| {
            if !self.left.swap(true, Ordering::Relaxed)
                && let Ok(own) = self.own(state)
            {
                own.ledger.release_all(self.session);
            }
            Ok(())
        })
    }
}
