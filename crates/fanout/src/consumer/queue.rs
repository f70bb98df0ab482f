//! What was fetched and has not begun, in the order of delivery.

use std::collections::BTreeMap;

use fanout_core::Delivery;

use super::in_hand::Ticket;
use super::turns::{Lane, Turns};

/// Deliveries that wait for a handler. In a group that wants order only those are *ready* whose turn
/// it is.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: BTreeMap<Ticket, Delivery>,
    /// None in a group that takes messages in any order.
    turns: Option<Turns>,
}

impl Queue {
    /// For a group that wants order, with the lanes of its topic.
    pub(super) fn in_order(lanes: u16) -> Self {
        Self {
            turns: Some(Turns::new(lanes)),
            ..Self::default()
        }
    }

    pub(super) fn keeps_order(&self) -> bool {
        self.turns.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.turns.as_ref().map_or(0, Turns::waiting)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The lane that a delivery is in, where that matters.
    pub(super) fn lane_of(&self, delivery: &Delivery) -> Option<Lane> {
        self.turns.as_ref().map(|turns| turns.lane_of(delivery))
    }

    pub(super) fn push(&mut self, ticket: Ticket, delivery: Delivery) {
        let ready = match &mut self.turns {
            Some(turns) => turns.take(ticket, delivery),
            None => Some(delivery),
        };
        if let Some(delivery) = ready {
            self.ready.insert(ticket, delivery);
        }
    }

    /// The next that may begin.
    pub(super) fn next(&self) -> Option<Ticket> {
        match &self.turns {
            Some(turns) => {
                let mut tickets = self.ready.keys();
                tickets.find(|ticket| !turns.is_held(**ticket)).copied()
            }
            None => self.ready.keys().next().copied(),
        }
    }

    /// Takes out what is ready, to handle it.
    pub(super) fn begin(&mut self, ticket: Ticket) -> Option<Delivery> {
        self.ready.remove(&ticket)
    }

    /// It was handled: the next of its key may begin. In the engine it may be unsettled yet; a
    /// settlement of the next one never comes before its own.
    pub(super) fn handled(&mut self, ticket: Ticket) {
        if let Some(next) = self.turns.as_mut().and_then(|turns| turns.pass(ticket)) {
            self.ready.insert(next.0, next.1);
        }
    }

    /// It failed: the next of its key waits until that is settled, and with `lane` the whole lane.
    pub(super) fn failed(&mut self, ticket: Ticket, lane: bool) {
        if let Some(turns) = &mut self.turns {
            turns.fail(ticket, lane);
        }
    }

    /// Whether a failure is to be settled that others wait for.
    pub(super) fn waits_for_failure(&self) -> bool {
        self.turns
            .as_ref()
            .is_some_and(|turns| turns.failures() > 0)
    }

    /// It is not in hand any more; returns its lane and whether that waited for it.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<(Lane, bool)> {
        self.handled(ticket);
        self.turns.as_mut()?.forget(ticket)
    }

    /// Takes out one that has not begun; whether there was such a one.
    pub(super) fn remove(&mut self, ticket: Ticket) -> bool {
        let waited = self.ready.remove(&ticket).is_some()
            || self.take_waiting(|waiting, _| waiting == ticket).len() == 1;
        if waited {
            self.forget(ticket);
        }
        waited
    }

    /// The lane of one in hand, where that matters.
    pub(super) fn lane(&self, ticket: Ticket) -> Option<Lane> {
        self.turns.as_ref()?.lane(ticket)
    }

    /// Takes out what has not begun of a lane, or of it only what was delivered after `after`.
    pub(super) fn take_lane(&mut self, lane: Lane, after: Option<Ticket>) -> Vec<Ticket> {
        let is_meant = |ticket: Ticket| after.is_none_or(|after| ticket > after);
        let mut taken = self.take_waiting(|ticket, of| of == lane && is_meant(ticket));
        let ready = self.ready.keys().copied();
        let ready: Vec<_> = ready
            .filter(|ticket| is_meant(*ticket) && self.lane(*ticket) == Some(lane))
            .collect();
        for ticket in ready {
            self.ready.remove(&ticket);
            // What waited behind it was delivered later, so it is out already: nobody is next.
            self.forget(ticket);
            taken.push(ticket);
        }
        taken.sort_unstable();
        taken
    }

    /// Takes out all that has not begun.
    pub(super) fn take_all(&mut self) -> Vec<Ticket> {
        let mut taken = self.take_waiting(|_, _| true);
        let ready: Vec<_> = std::mem::take(&mut self.ready).into_keys().collect();
        for ticket in &ready {
            self.forget(*ticket);
        }
        taken.extend(ready);
        taken
    }

    fn take_waiting(&mut self, is_meant: impl Fn(Ticket, Lane) -> bool) -> Vec<Ticket> {
        let turns = self.turns.as_mut();
        turns.map_or_else(Vec::new, |turns| turns.take_out(is_meant))
    }
}

#[cfg(test)]
mod tests {
    use fanout_core::{
        GroupIndex, Headers, Message, MessageId, Receipt, ReceiptForm, SubscriptionId, Timestamp,
        TopicId, TopicName, TrackedReceipt, lane_of,
    };

    use super::*;

    const LANES: u16 = 8;

    fn delivery(id: i64, key: Option<&str>) -> Delivery {
        Delivery {
            message: Message {
                topic: TopicName::new("t").unwrap(),
                id: MessageId(id),
                key: key.map(str::to_owned),
                headers: Headers::default(),
                payload: "".into(),
                created_at: Timestamp::UNIX_EPOCH,
            },
            attempt: 1,
            until: Timestamp::UNIX_EPOCH,
            receipt: Receipt::new(ReceiptForm::Tracked(TrackedReceipt {
                topic: TopicId(1),
                subscription: SubscriptionId(1),
                group: GroupIndex(0),
                id: MessageId(id),
                attempt: 1,
                token: id,
            })),
        }
    }

    /// A queue of messages with these keys; their tickets are their places, from 0.
    fn queue(keys: &[Option<&str>]) -> Queue {
        let mut queue = Queue::in_order(LANES);
        for (id, key) in keys.iter().enumerate() {
            queue.push(Ticket::of(id as u64), delivery(id as i64, *key));
        }
        queue
    }

    /// Begins all that may begin.
    fn begin_all(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| {
            let ticket = queue.next()?;
            queue.begin(ticket).map(|_| ticket.number())
        })
        .collect()
    }

    const A: Option<&str> = Some("a");
    const B: Option<&str> = Some("b");

    #[test]
    fn without_order_all_are_ready() {
        let mut queue = Queue::default();
        for id in 0..3 {
            queue.push(Ticket::of(id), delivery(id as i64, A));
        }
        assert_eq!(begin_all(&mut queue), [0, 1, 2]);
        assert!(queue.is_empty());
        queue.push(Ticket::of(3), delivery(3, A));
        assert!(queue.take_lane(Lane(lane_of(A, 3, LANES)), None).is_empty());
        assert!(queue.remove(Ticket::of(3)));
        assert!(!queue.remove(Ticket::of(3)));
    }

    #[test]
    fn one_of_a_key_at_a_time_and_those_without_key_at_once() {
        let mut queue = queue(&[A, None, A, B, None, A]);
        assert_eq!(queue.len(), 6);
        assert_eq!(begin_all(&mut queue), [0, 1, 3, 4]);
        assert_eq!(queue.len(), 2);
        queue.handled(Ticket::of(0));
        assert_eq!(begin_all(&mut queue), [2]);
        queue.handled(Ticket::of(3));
        queue.handled(Ticket::of(1));
        assert!(begin_all(&mut queue).is_empty());
        queue.handled(Ticket::of(2));
        queue.handled(Ticket::of(2));
        assert_eq!(begin_all(&mut queue), [5]);
        queue.forget(Ticket::of(5));
        queue.push(Ticket::of(6), delivery(6, A));
        assert_eq!(begin_all(&mut queue), [6], "nothing is left of the turn");
    }

    #[test]
    fn a_failure_holds_its_key_until_it_is_settled() {
        let mut queue = queue(&[A, B, A, B]);
        begin_all(&mut queue);
        queue.failed(Ticket::of(0), false);
        queue.handled(Ticket::of(1));
        assert_eq!(begin_all(&mut queue), [3]);
        assert_eq!(
            queue.forget(Ticket::of(0)),
            Some((lane(A), false)),
            "the lane did not wait"
        );
        assert_eq!(begin_all(&mut queue), [2]);
    }

    fn lane(key: Option<&str>) -> Lane {
        Lane(lane_of(key, 0, LANES))
    }

    /// Two keys of one lane and one of another.
    fn keys() -> [String; 3] {
        let of = |wanted: u16, seen: &str| {
            let mut keys = (0..).map(|n| format!("key-{n}"));
            keys.find(|key| lane_of(Some(key), 0, LANES) == wanted && key != seen)
        };
        let first = of(3, "").unwrap();
        let second = of(3, &first).unwrap();
        [first, second, of(4, "").unwrap()]
    }

    #[test]
    fn a_failure_that_blocks_holds_its_lane_and_takes_what_came_after_it() {
        let [a, b, other] = keys();
        let (a, b, other) = (Some(&*a), Some(&*b), Some(&*other));
        let mut queue = queue(&[b, a, a, b, other, other, b]);
        assert_eq!(begin_all(&mut queue), [0, 1, 4]);
        queue.failed(Ticket::of(1), true);
        queue.handled(Ticket::of(0));
        queue.handled(Ticket::of(4));
        assert_eq!(begin_all(&mut queue), [5], "another lane goes on");
        let (lane, waited) = queue.forget(Ticket::of(1)).unwrap();
        assert!(waited);
        let later = queue.take_lane(lane, Some(Ticket::of(1)));
        assert_eq!(later, [2, 3, 6].map(Ticket::of));
        assert!(queue.is_empty());
        queue.push(Ticket::of(7), delivery(1, a));
        queue.push(Ticket::of(8), delivery(3, b));
        assert_eq!(begin_all(&mut queue), [7, 8], "nobody holds the keys");
    }

    #[test]
    fn what_came_before_stays() {
        let [a, b, _] = keys();
        let (a, b) = (Some(&*a), Some(&*b));
        let mut queue = queue(&[b, b, a, b]);
        let first = [queue.next().unwrap()];
        queue.begin(first[0]);
        queue.begin(Ticket::of(2));
        queue.failed(Ticket::of(2), true);
        let (lane, _) = queue.forget(Ticket::of(2)).unwrap();
        let later = queue.take_lane(lane, Some(Ticket::of(2)));
        assert_eq!(later, [Ticket::of(3)]);
        queue.handled(first[0]);
        assert_eq!(begin_all(&mut queue), [1]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_lost_leaves_its_place_to_the_next() {
        let mut queue = queue(&[A, A, A, A]);
        assert!(queue.remove(Ticket::of(2)), "it waited");
        assert!(queue.remove(Ticket::of(0)), "it was ready");
        assert_eq!(begin_all(&mut queue), [1]);
        assert!(!queue.remove(Ticket::of(1)), "it has begun");
        assert_eq!(queue.lane(Ticket::of(1)), Some(lane(A)));
        queue.forget(Ticket::of(1));
        assert_eq!(begin_all(&mut queue), [3]);
        assert_eq!(queue.lane(Ticket::of(1)), None);
    }

    #[test]
    fn all_of_it_can_be_taken() {
        let mut queue = queue(&[A, A, None, B, B, A]);
        queue.begin(Ticket::of(0));
        let mut taken = queue.take_all();
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3, 4, 5].map(Ticket::of));
        assert!(queue.is_empty());
        queue.push(Ticket::of(6), delivery(6, A));
        assert_eq!(queue.next(), None, "the first of its key still runs");
        queue.handled(Ticket::of(0));
        assert_eq!(begin_all(&mut queue), [6]);
    }
}
