//! What a session has in hand, and until when.
//!
//! A lease ends by the engine's clock, which may differ from this process's; its length is the same
//! by both. So leases are reckoned from before the call that gave them, which errs on the safe side.

use std::collections::HashMap;
use std::time::Duration;

use fanout_core::Receipt;
use tokio::time::Instant;

/// One delivery of one session; they count up in the order of delivery. Not the message's id: a
/// message whose lease was lost may be in hand twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

#[cfg(test)]
impl Ticket {
    pub(super) const fn of(number: u64) -> Self {
        Self(number)
    }

    pub(super) const fn number(self) -> u64 {
        self.0
    }
}

#[derive(Debug)]
struct Held {
    receipt: Receipt,
    extend_at: Instant,
    ends_at: Instant,
    /// A settlement is under way: extending would only race it.
    settling: bool,
}

/// The deliveries in hand.
#[derive(Debug, Default)]
pub(super) struct InHand {
    held: HashMap<Ticket, Held>,
    issued: u64,
    /// Not later than the first extension that is due.
    next_extension: Option<Instant>,
}

impl InHand {
    /// Takes a delivery of a call that was made at `asked`.
    pub(super) fn take(&mut self, receipt: Receipt, asked: Instant, lease: Duration) -> Ticket {
        let ticket = Ticket(self.issued);
        self.issued += 1;
        let extend_at = asked + lease / 2;
        self.held.insert(
            ticket,
            Held {
                receipt,
                extend_at,
                ends_at: asked + lease,
                settling: false,
            },
        );
        self.note(extend_at);
        ticket
    }

    /// Forgets a delivery, which is settled or lost.
    pub(super) fn drop(&mut self, ticket: Ticket) {
        self.held.remove(&ticket);
    }

    pub(super) fn receipt(&self, ticket: Ticket) -> Option<Receipt> {
        self.held.get(&ticket).map(|held| held.receipt)
    }

    /// Whether the delivery is still ours, as far as this process can tell.
    pub(super) fn is_safe(&self, ticket: Ticket, now: Instant) -> bool {
        self.held
            .get(&ticket)
            .is_some_and(|held| now < held.ends_at)
    }

    pub(super) fn set_settling(&mut self, ticket: Ticket, settling: bool) {
        if let Some(held) = self.held.get_mut(&ticket) {
            held.settling = settling;
            if !settling {
                let extend_at = held.extend_at;
                self.note(extend_at);
            }
        }
    }

    pub(super) fn is_settling(&self, ticket: Ticket) -> bool {
        self.held.get(&ticket).is_some_and(|held| held.settling)
    }

    /// When to look for extensions next.
    pub(super) fn next_extension(&self) -> Option<Instant> {
        self.next_extension
    }

    /// The deliveries of whose lease half has passed.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(Ticket, Receipt)> {
        let candidates = || self.held.iter().filter(|(_, held)| !held.settling);
        let due = candidates()
            .filter(|(_, held)| held.extend_at <= now)
            .map(|(ticket, held)| (*ticket, held.receipt))
            .collect();
        let later = candidates().map(|(_, held)| held.extend_at);
        self.next_extension = later.filter(|at| *at > now).min();
        due
    }

    /// A lease was extended by a call that was made at `asked`.
    pub(super) fn extended(&mut self, ticket: Ticket, asked: Instant, lease: Duration) {
        if let Some(held) = self.held.get_mut(&ticket) {
            held.extend_at = asked + lease / 2;
            held.ends_at = asked + lease;
            let extend_at = held.extend_at;
            self.note(extend_at);
        }
    }

    /// An extension failed and is to be tried again.
    pub(super) fn retry_at(&mut self, ticket: Ticket, at: Instant) {
        if let Some(held) = self.held.get_mut(&ticket) {
            held.extend_at = at;
            self.note(at);
        }
    }

    fn note(&mut self, at: Instant) {
        self.next_extension = Some(self.next_extension.map_or(at, |next| next.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use fanout_core::{
        GroupIndex, MessageId, ReceiptForm, SubscriptionId, TopicId, TrackedReceipt,
    };

    use super::*;

    const LEASE: Duration = Duration::from_secs(10);

    fn receipt(id: i64) -> Receipt {
        Receipt::new(ReceiptForm::Tracked(TrackedReceipt {
            topic: TopicId(1),
            subscription: SubscriptionId(1),
            group: GroupIndex(0),
            id: MessageId(id),
            attempt: 1,
            token: id,
        }))
    }

    #[test]
    fn is_due_at_half_of_the_lease_and_once_more_after_each_extension() {
        let start = Instant::now();
        let mut hand = InHand::default();
        let early = hand.take(receipt(1), start, LEASE);
        let late = hand.take(receipt(2), start + LEASE / 4, LEASE);
        assert_eq!(hand.next_extension(), Some(start + LEASE / 2));
        assert_eq!(hand.due(start + LEASE / 2), [(early, receipt(1))]);
        hand.extended(early, start + LEASE / 2, LEASE);
        assert_eq!(hand.next_extension(), Some(start + LEASE * 3 / 4));
        assert_eq!(hand.due(start + LEASE * 3 / 4), [(late, receipt(2))]);
        hand.extended(late, start + LEASE * 3 / 4, LEASE);
        assert_eq!(hand.next_extension(), Some(start + LEASE));
        assert!(hand.is_safe(early, start + LEASE));
    }

    #[test]
    fn what_is_being_settled_is_left_alone_until_it_failed() {
        let start = Instant::now();
        let mut hand = InHand::default();
        let ticket = hand.take(receipt(1), start, LEASE);
        hand.set_settling(ticket, true);
        assert!(hand.due(start + LEASE).is_empty());
        hand.set_settling(ticket, false);
        assert_eq!(hand.due(start + LEASE).len(), 1);
        hand.drop(ticket);
        assert!(hand.due(start + LEASE).is_empty());
        assert_eq!(hand.next_extension(), None);
    }

    #[test]
    fn a_lease_that_ended_is_not_safe() {
        let start = Instant::now();
        let mut hand = InHand::default();
        let ticket = hand.take(receipt(1), start, LEASE);
        assert!(hand.is_safe(ticket, start + LEASE - Duration::from_micros(1)));
        assert!(!hand.is_safe(ticket, start + LEASE));
        hand.drop(ticket);
        assert!(!hand.is_safe(ticket, start));
    }
}
