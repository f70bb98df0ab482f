//! One incarnation of a reader's subscription.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fanout_core::{Subscription, SubscriptionStatus, Timestamp};

use super::Acceptor;
use super::owed::Owed;
use crate::published::Ordinal;
use crate::reader::Reader;

/// Which incarnation of which reader's subscription. A seek begins another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    pub reader: Reader,
    pub epoch: usize,
}

/// A subscription as it must be, what it owes and what it has settled.
#[derive(Clone, Debug)]
pub(super) struct Incarnation {
    pub(super) subscription: Subscription,
    /// The first message that was published, committed or not, after it began.
    pub(super) began: Ordinal,
    /// How long its leases may be: a member knows the options of when it joined or last beat.
    pub(super) leases: BTreeSet<Duration>,
    pub(super) owed: BTreeMap<Ordinal, Owed>,
    pub(super) settled: BTreeMap<Ordinal, Settled>,
    /// A seek put the next one in its place: the subscription is the same.
    pub(super) superseded: bool,
    /// Lanes whose blocking message a transaction settled while they waited for it: they may go on
    /// waiting until then.
    pub(super) lingering: Vec<(u16, Timestamp)>,
    /// By lane, when messages were delivered again because leases had expired, since something of
    /// the lane was settled.
    pub(super) lane_stalls: BTreeMap<u16, BTreeSet<Timestamp>>,
}

/// How a message was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub how: How,
    pub attempts: u32,
    pub(super) in_transaction: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Done,
    Skipped,
    DeadLettered,
}

impl Incarnation {
    pub(super) fn new(subscription: Subscription, began: Ordinal) -> Self {
        let leases = BTreeSet::from([subscription.options.lease]);
        Self {
            subscription,
            began,
            leases,
            owed: BTreeMap::new(),
            settled: BTreeMap::new(),
            superseded: false,
            lingering: Vec::new(),
            lane_stalls: BTreeMap::new(),
        }
    }

    /// No subscription dies in these histories: it is live until it is cancelled.
    pub(super) fn is_live(&self) -> bool {
        !self.superseded && self.subscription.status != SubscriptionStatus::Cancelled
    }
}

impl Acceptor {
    pub(super) fn incarnation(&self, seat: Seat) -> &Incarnation {
        &self.subscribed[&seat.reader][seat.epoch]
    }

    pub(super) fn incarnation_mut(&mut self, seat: Seat) -> &mut Incarnation {
        self.subscribed
            .get_mut(&seat.reader)
            .and_then(|incarnations| incarnations.get_mut(seat.epoch))
            .expect("a seat is only made of an incarnation")
    }

    /// The reader's latest subscription.
    pub fn latest(&self, reader: Reader) -> Option<Seat> {
        let count = self.subscribed.get(&reader)?.len();
        Some(Seat {
            reader,
            epoch: count.checked_sub(1)?,
        })
    }

    /// Where a member of this seat stands now: seeks move it on.
    pub fn present(&self, mut seat: Seat) -> Seat {
        while self.incarnation(seat).superseded {
            seat.epoch += 1;
        }
        seat
    }

    pub fn is_live(&self, seat: Seat) -> bool {
        self.incarnation(seat).is_live()
    }

    /// The status of the reader's latest subscription.
    pub fn status(&self, reader: Reader) -> Option<SubscriptionStatus> {
        let seat = self.latest(reader)?;
        Some(self.incarnation(seat).subscription.status)
    }

    /// The live subscriptions.
    pub fn live(&self) -> impl Iterator<Item = Seat> {
        Reader::ALL
            .into_iter()
            .filter_map(|reader| self.latest(reader))
            .filter(|seat| self.is_live(*seat))
    }

    /// How many messages a subscription owes.
    pub fn owes(&self, seat: Seat) -> usize {
        self.incarnation(seat).owed.len()
    }
}
