//! What one subscription owes.

mod claim;
mod failing;
mod lines;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use fanout_core::{MessageId, Ordering, Timestamp};

pub(crate) use claim::{ClaimTerms, Taken};
use lines::Lines;
use schedule::Schedule;

use crate::log::Stored;
use crate::owed::Owed;
use crate::path::Path;
use crate::place::Place;

/// The messages that a subscription owes: when each may be delivered, and after which others.
#[derive(Debug)]
pub(crate) struct Ledger {
    ordering: Ordering,
    owed: BTreeMap<MessageId, Owed>,
    schedule: Schedule,
    lines: Lines,
    /// Failed messages that their lanes wait for until they are due.
    blocking: BTreeSet<MessageId>,
}

impl Ledger {
    pub(crate) fn new(ordering: Ordering) -> Self {
        Self {
            ordering,
            owed: BTreeMap::new(),
            schedule: Schedule::default(),
            lines: Lines::default(),
            blocking: BTreeSet::new(),
        }
    }

    /// Adds a message.
    pub(crate) fn owe(&mut self, stored: &Stored) {
        let owed = Owed::new(stored, self.ordering);
        self.schedule.add(owed.place, owed.not_before);
        self.lines.add(&owed);
        self.owed.insert(owed.place.id, owed);
    }

    /// The message, if it is owed.
    pub(crate) fn get(&self, id: MessageId) -> Option<&Owed> {
        self.owed.get(&id)
    }

    /// How many messages reach the group by a path, and did from the beginning.
    pub(crate) fn on_first_path(&self, path: Path) -> u64 {
        let first =
            |owed: &&Owed| owed.path == path && Path::of(self.ordering, owed.entry.tracked) == path;
        self.owed.values().filter(first).count() as u64
    }

    /// The message, if it is owed and this is the token of its present lease.
    pub(crate) fn held(&self, id: MessageId, token: i64) -> Option<&Owed> {
        self.owed.get(&id).filter(|owed| owed.has_token(token))
    }

    /// Where the message stands, if the group takes messages in order.
    pub(crate) fn turn(&self, id: MessageId) -> Option<Place> {
        let owed = self.owed.get(&id)?;
        (self.ordering == Ordering::PerKey).then_some(owed.place)
    }

    /// The earlier messages of its key that are neither settled nor parked.
    pub(crate) fn earlier(&self, id: MessageId) -> impl Iterator<Item = &Owed> {
        self.owed
            .get(&id)
            .into_iter()
            .flat_map(|owed| self.lines.before(owed))
            .filter_map(|place| self.owed.get(&place.id))
    }

    /// Notes that an open transaction settles the message.
    pub(crate) fn pledge(&mut self, id: MessageId, tx: u64) {
        if let Some(owed) = self.owed.get_mut(&id) {
            owed.settling = Some(tx);
        }
    }

    /// Notes that this transaction does not settle the message after all.
    pub(crate) fn withdraw(&mut self, id: MessageId, tx: u64) {
        if let Some(owed) = self.owed.get_mut(&id)
            && owed.settling == Some(tx)
        {
            owed.settling = None;
        }
    }

    /// Moves the end of the lease.
    pub(crate) fn extend(&mut self, id: MessageId, until: Timestamp) {
        self.reschedule(id, until);
    }

    /// Ends the lease; the message is due at once.
    pub(crate) fn release(&mut self, id: MessageId) {
        if let Some(owed) = self.reschedule(id, Owed::AT_ONCE) {
            owed.lease = None;
        }
    }

    /// Ends the leases of a member that leaves.
    pub(crate) fn release_all(&mut self, holder: u64) {
        self.release_where(|owed| owed.lease.is_some_and(|lease| lease.holder == holder));
    }

    fn release_where(&mut self, which: impl Fn(&Owed) -> bool) {
        let released: Vec<_> = self
            .owed
            .iter()
            .filter(|(_, owed)| which(owed))
            .map(|(id, _)| *id)
            .collect();
        for id in released {
            self.release(id);
        }
    }

    /// Takes a message out: it is settled.
    pub(crate) fn settle(&mut self, id: MessageId) -> Option<Owed> {
        let owed = self.owed.remove(&id)?;
        self.schedule.remove(owed.place, owed.not_before);
        self.lines.remove(&owed);
        self.blocking.remove(&id);
        Some(owed)
    }

    /// Takes everything out: the reading has ended.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = MessageId> + use<> {
        std::mem::replace(self, Self::new(self.ordering))
            .owed
            .into_keys()
    }

    fn reschedule(&mut self, id: MessageId, not_before: Timestamp) -> Option<&mut Owed> {
        let owed = self.owed.get_mut(&id)?;
        self.schedule.remove(owed.place, owed.not_before);
        self.schedule.add(owed.place, not_before);
        owed.not_before = not_before;
        Some(owed)
    }

    /// How many messages are owed.
    pub(crate) fn pending(&self) -> u64 {
        self.owed.len() as u64
    }

    /// How many of them a member holds under an unexpired lease, and how many failed and are not
    /// due yet, those that one lane waits for counted once.
    pub(crate) fn held_back(&self, now: Timestamp) -> (u64, u64) {
        let (mut in_flight, mut delayed) = (0, 0);
        for (id, owed) in self.owed.iter().filter(|(_, owed)| !owed.is_due(now)) {
            if owed.lease.is_some() {
                in_flight += 1;
            } else if !self.blocking.contains(id) {
                delayed += 1;
            }
        }
        (in_flight, delayed + self.blocked_lanes(now).len() as u64)
    }

    /// The lowest message that is owed.
    pub(crate) fn lowest(&self) -> Option<MessageId> {
        self.owed.keys().next().copied()
    }

    /// The messages above this one that are owed, ascending.
    pub(crate) fn above(&self, after: MessageId) -> impl Iterator<Item = MessageId> {
        self.owed
            .range((Excluded(after), Unbounded))
            .map(|(id, _)| *id)
    }
}
