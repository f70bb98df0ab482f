//! The order of a key, and lanes.
//!
//! If a publisher had committed before another one began, or both publish in one transaction, their
//! order is known beforehand. The order of publishers that overlapped is the engine's choice, and
//! deliveries reveal it: what is delivered while another message of its key is in hand comes after it.

use std::collections::BTreeSet;

use fanout_core::{OnFailure, Ordering, Timestamp, lane_of};

use super::owed::{Owed, Place};
use super::{Acceptor, Checked, Held, Seat, check};
use crate::published::Ordinal;

/// Whether it is a message's turn to be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing of its key stands before it.
    Now,
    /// Something may.
    Perhaps,
    /// Something does.
    Later,
}

impl Acceptor {
    /// Whether the first message comes before the second in every engine.
    pub(super) fn precedes(&self, first: Ordinal, second: Ordinal) -> bool {
        let (a, b) = (&self.published[first], &self.published[second]);
        let known = if a.tx == b.tx {
            first < second
        } else {
            a.committed.is_some_and(|committed| committed < b.began)
        };
        a.channel == b.channel && known
    }

    fn same_key(&self, first: Ordinal, second: Ordinal) -> bool {
        let key = |message: Ordinal| self.published[message].message.key.as_ref();
        key(first).is_some() && key(first) == key(second)
    }

    pub(super) fn lane(&self, message: Ordinal) -> u16 {
        let published = &self.published[message];
        let lanes = self.topics[&published.channel].config.lanes;
        lane_of(published.message.key.as_deref(), published.id.0, lanes)
    }

    pub(super) fn keeps_order(&self, seat: Seat) -> bool {
        self.incarnation(seat).subscription.options.ordering == Ordering::PerKey
    }

    pub(super) fn blocks(&self, seat: Seat) -> bool {
        self.incarnation(seat).subscription.options.on_failure == OnFailure::Block
    }

    /// Whether tracking rows account for the message from the beginning.
    pub(super) fn tracks(&self, seat: Seat, message: Ordinal) -> bool {
        self.published[message].tracked && !self.keeps_order(seat)
    }

    /// What else the subscription owes of the message's key and has not parked.
    fn rivals(&self, seat: Seat, message: Ordinal) -> impl Iterator<Item = (Ordinal, &Owed)> {
        self.incarnation(seat)
            .owed
            .iter()
            .map(|(other, owed)| (*other, owed))
            .filter(move |(other, owed)| {
                *other != message && !owed.parked && self.same_key(*other, message)
            })
    }

    /// A message was delivered to a member: whether its turn had come, and what that reveals.
    pub(super) fn check_turn(
        &self,
        seat: Seat,
        message: Ordinal,
        session: u32,
        now: Timestamp,
    ) -> Checked<Place> {
        let mut place = Place::default();
        let owed = &self.incarnation(seat).owed;
        if !self.keeps_order(seat) || owed[&message].parked {
            return Ok(place);
        }
        if self.blocks(seat) {
            let lane = self.lane(message);
            for (waiting, owed) in owed.iter().filter(|(_, owed)| owed.is_delayed(now)) {
                check!(
                    self.lane(*waiting) != lane,
                    "fetch: lane {lane} of {seat:?} waits for message {waiting} until {:?} now={now}, \
                     got message {message}",
                    owed.due
                );
            }
        }
        let with_us = |owed: &Owed| {
            owed.open_lease(now)
                .is_some_and(|lease| lease.session == session)
        };
        for (other, owed) in self.rivals(seat, message) {
            let is_earlier = self.precedes(other, message);
            if !is_earlier {
                let Some(lease) = owed.open_lease(now) else {
                    continue;
                };
                if self.precedes(message, other) || lease.place.after.contains(&message) {
                    continue;
                }
                if lease.doubtful || lease.place.perhaps_after.contains(&message) {
                    place.perhaps_after.insert(other);
                    continue;
                }
                place.after.insert(other);
            }
            check!(
                with_us(owed),
                "fetch: message {other} of {seat:?} comes before message {message} of its key and \
                 is not in the member's hand: {owed:?} now={now}"
            );
        }
        // What comes before those comes before this one.
        let mut before = BTreeSet::new();
        for (other, owed) in self.rivals(seat, message) {
            if place.after.iter().any(|later| self.precedes(other, *later)) {
                check!(
                    with_us(owed),
                    "fetch: message {other} of {seat:?} comes before {:?}, which come before message \
                     {message}, and is not in the member's hand: {owed:?} now={now}",
                    place.after
                );
                before.insert(other);
            }
        }
        place.after.extend(before);
        Ok(place)
    }

    /// Whether what a receipt is for may be settled, provided that the receipt is valid and that
    /// `settled` are settled.
    pub fn turn(&self, held: Held, settled: impl Fn(Ordinal) -> bool) -> Turn {
        let (seat, message) = (self.handed[held].seat, self.handed[held].message);
        let Some(owed) = self.incarnation(seat).owed.get(&message) else {
            return Turn::Now;
        };
        if !self.keeps_order(seat) || owed.parked {
            return Turn::Now;
        }
        let place = owed
            .lease
            .as_ref()
            .filter(|lease| lease.handed == held)
            .map(|lease| &lease.place);
        let mut turn = Turn::Now;
        for (other, _) in self.rivals(seat, message) {
            let is = |of: fn(&Place) -> &BTreeSet<Ordinal>| {
                place.is_some_and(|place| of(place).contains(&other))
            };
            if settled(other) {
                continue;
            }
            if self.precedes(other, message) || is(|place| &place.after) {
                return Turn::Later;
            }
            if is(|place| &place.perhaps_after) {
                turn = Turn::Perhaps;
            }
        }
        turn
    }

    /// A failure blocks the lane: what came after it there is in nobody's hand any more.
    pub(super) fn block(&mut self, seat: Seat, failed: Ordinal, place: &Place) -> Vec<Release> {
        let lane = self.lane(failed);
        let in_hand = self
            .incarnation(seat)
            .owed
            .iter()
            .filter_map(|(other, owed)| Some((*other, owed.lease.as_ref()?)))
            .filter(|(other, _)| *other != failed && self.lane(*other) == lane);
        let mut released = Vec::new();
        for (other, lease) in in_hand {
            if self.precedes(failed, other) || lease.place.after.contains(&failed) {
                released.push(Release::Certain(other));
            } else if !self.precedes(other, failed) && !place.after.contains(&other) {
                released.push(Release::Doubtful(other));
            }
        }
        let owed = &mut self.incarnation_mut(seat).owed;
        for release in &released {
            match release {
                Release::Certain(other) => {
                    if let Some(owed) = owed.get_mut(other) {
                        owed.give_back();
                    }
                }
                Release::Doubtful(other) => {
                    if let Some(lease) = owed.get_mut(other).and_then(|owed| owed.lease.as_mut()) {
                        lease.doubtful = true;
                    }
                }
            }
        }
        released
    }
}

/// What a blocking failure does to another message in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    Certain(Ordinal),
    /// Its publisher and that of the failed message overlapped.
    Doubtful(Ordinal),
}
