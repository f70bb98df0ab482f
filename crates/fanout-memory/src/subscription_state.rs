//! One incarnation of a subscription.

use fanout_core::{Subscription, SubscriptionEvent, Timestamp, Transition};

use crate::ledger::Ledger;
use crate::reading::Reading;
use crate::refusal::Refusal;

/// A subscription and what it owes.
#[derive(Debug)]
pub(crate) struct SubscriptionState {
    pub(crate) subscription: Subscription,
    pub(crate) reading: Reading,
    pub(crate) ledger: Ledger,
}

impl SubscriptionState {
    pub(crate) fn new(subscription: Subscription, reading: Reading) -> Self {
        Self {
            ledger: Ledger::new(subscription.options.ordering),
            subscription,
            reading,
        }
    }

    /// Takes the event, which is not one that starts anew.
    pub(crate) fn on(&mut self, event: SubscriptionEvent, now: Timestamp) -> Result<(), Refusal> {
        let subscription = &mut self.subscription;
        let transition =
            subscription
                .status
                .on(event)
                .map_err(|source| Refusal::InvalidTransition {
                    topic: subscription.topic.clone(),
                    group: subscription.group.clone(),
                    source,
                })?;
        if let Transition::To(status) = transition {
            subscription.status = status;
            subscription.status_changed_at = now;
        }
        if matches!(
            event,
            SubscriptionEvent::Subscribe | SubscriptionEvent::Heartbeat
        ) {
            subscription.last_heartbeat_at = now;
        }
        Ok(())
    }

    /// Takes a sign of life.
    pub(crate) fn beat(&mut self, now: Timestamp) -> Result<Subscription, Refusal> {
        if !self.subscription.status.is_live() {
            return Err(self.ended());
        }
        self.on(SubscriptionEvent::Heartbeat, now)?;
        Ok(self.subscription.clone())
    }

    /// The refusal for one that has ended.
    pub(crate) fn ended(&self) -> Refusal {
        Refusal::SubscriptionEnded {
            topic: self.subscription.topic.clone(),
            group: self.subscription.group.clone(),
            status: self.subscription.status,
        }
    }
}
