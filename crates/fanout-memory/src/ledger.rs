//! What one subscription owes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fanout_core::{MessageId, Timestamp};

use crate::owed::{Lease, Owed};

/// The messages that a subscription owes, lowest id first among those that are due.
///
/// Each stands in exactly one of `ready` and `waiting`. `ready` may hold some that are not due any
/// more, because the clock stepped back; a claim puts them back when it meets them.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    owed: BTreeMap<MessageId, Owed>,
    ready: BTreeSet<MessageId>,
    waiting: BTreeSet<(Timestamp, MessageId)>,
}

/// A message that a claim took.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) id: MessageId,
    pub(crate) attempt: u32,
    pub(crate) until: Timestamp,
    pub(crate) token: i64,
}

/// What a claim found.
#[derive(Debug, Default)]
pub(crate) struct Claim {
    pub(crate) taken: Vec<Taken>,
    /// Messages whose leases ended too often. They are not owed any more.
    pub(crate) poison: Vec<(MessageId, Owed)>,
}

/// How a claim is made.
#[derive(Debug)]
pub(crate) struct ClaimTerms<'a> {
    pub(crate) now: Timestamp,
    pub(crate) limit: usize,
    pub(crate) lease: Duration,
    pub(crate) max_stalls: u32,
    pub(crate) holder: u64,
    pub(crate) next_token: &'a mut i64,
}

impl Ledger {
    /// Adds a message.
    pub(crate) fn owe(&mut self, id: MessageId) {
        self.owed.insert(id, Owed::new());
        self.ready.insert(id);
    }

    /// Takes due messages, lowest id first.
    pub(crate) fn claim(&mut self, terms: &mut ClaimTerms<'_>) -> Claim {
        self.wake(terms.now);
        let mut claim = Claim::default();
        while claim.taken.len() < terms.limit {
            let Some(id) = self.ready.pop_first() else {
                break;
            };
            let Some(owed) = self.owed.get_mut(&id) else {
                continue;
            };
            if !owed.is_due(terms.now) {
                self.waiting.insert((owed.not_before, id));
                continue;
            }
            if owed.lease.is_some() {
                owed.stalls = owed.stalls.saturating_add(1);
                if owed.stalls >= terms.max_stalls {
                    claim.poison.extend(self.owed.remove_entry(&id));
                    continue;
                }
            }
            *terms.next_token += 1;
            let (token, until) = (*terms.next_token, terms.now + terms.lease);
            owed.lease = Some(Lease {
                token,
                holder: terms.holder,
            });
            owed.not_before = until;
            self.waiting.insert((until, id));
            claim.taken.push(Taken {
                id,
                attempt: owed.failures.saturating_add(1),
                until,
                token,
            });
        }
        claim
    }

    /// Makes ready what has become due.
    fn wake(&mut self, now: Timestamp) {
        while let Some(&(at, id)) = self.waiting.first() {
            if at > now {
                break;
            }
            self.waiting.pop_first();
            self.ready.insert(id);
        }
    }

    /// The message, if it is owed.
    pub(crate) fn get(&self, id: MessageId) -> Option<&Owed> {
        self.owed.get(&id)
    }

    /// The message, if it is owed and this is the token of its present lease.
    pub(crate) fn held(&self, id: MessageId, token: i64) -> Option<&Owed> {
        self.owed.get(&id).filter(|owed| owed.has_token(token))
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
        let held: Vec<_> = self
            .owed
            .iter()
            .filter(|(_, owed)| owed.lease.is_some_and(|lease| lease.holder == holder))
            .map(|(id, _)| *id)
            .collect();
        for id in held {
            self.release(id);
        }
    }

    /// Ends the lease after a failure.
    pub(crate) fn retry(&mut self, id: MessageId, due: Timestamp, error: String) {
        if let Some(owed) = self.reschedule(id, due) {
            owed.lease = None;
            owed.failures = owed.failures.saturating_add(1);
            owed.last_error = Some(error);
        }
    }

    /// Takes a message out: it is settled.
    pub(crate) fn settle(&mut self, id: MessageId) -> Option<Owed> {
        let owed = self.owed.remove(&id)?;
        self.unschedule(id, owed.not_before);
        Some(owed)
    }

    /// Takes everything out: the subscription has ended.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = MessageId> + use<> {
        std::mem::take(self).owed.into_keys()
    }

    fn reschedule(&mut self, id: MessageId, not_before: Timestamp) -> Option<&mut Owed> {
        let before = self.owed.get(&id)?.not_before;
        self.unschedule(id, before);
        if not_before == Owed::AT_ONCE {
            self.ready.insert(id);
        } else {
            self.waiting.insert((not_before, id));
        }
        let owed = self.owed.get_mut(&id)?;
        owed.not_before = not_before;
        Some(owed)
    }

    fn unschedule(&mut self, id: MessageId, not_before: Timestamp) {
        if !self.waiting.remove(&(not_before, id)) {
            self.ready.remove(&id);
        }
    }

    /// How many messages are owed.
    pub(crate) fn pending(&self) -> u64 {
        self.owed.len() as u64
    }

    /// How many of them a member holds under an unexpired lease, and how many failed and are not
    /// due yet.
    pub(crate) fn held_back(&self, now: Timestamp) -> (u64, u64) {
        let (mut in_flight, mut delayed) = (0, 0);
        for owed in self.owed.values().filter(|owed| !owed.is_due(now)) {
            if owed.lease.is_some() {
                in_flight += 1;
            } else {
                delayed += 1;
            }
        }
        (in_flight, delayed)
    }

    /// The lowest message that is owed.
    pub(crate) fn lowest(&self) -> Option<MessageId> {
        self.owed.keys().next().copied()
    }

    /// The messages above this one that are owed, ascending.
    pub(crate) fn above(&self, after: MessageId) -> impl Iterator<Item = MessageId> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.owed
            .range((Excluded(after), Unbounded))
            .map(|(id, _)| *id)
    }
}
