//! Taking messages for a member.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Lane, MessageId, Timestamp};

use super::Ledger;
use crate::entry::Entry;
use crate::owed::{Lease, Owed};
use crate::path::Path;

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

/// What a claim found.
#[derive(Debug, Default)]
pub(crate) struct Claim {
    pub(crate) taken: Vec<Taken>,
    /// Messages whose leases ended too often. They are not owed any more.
    pub(crate) poison: Vec<Owed>,
}

/// A message that a claim took.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) entry: Arc<Entry>,
    pub(crate) path: Path,
    pub(crate) attempt: u32,
    pub(crate) until: Timestamp,
    pub(crate) token: i64,
}

impl Ledger {
    /// Takes what is due and whose turn it is, in order.
    pub(crate) fn claim(&mut self, terms: &mut ClaimTerms<'_>) -> Claim {
        self.schedule.wake(terms.now);
        let blocked = self.blocked_lanes(terms.now);
        let mut claim = Claim::default();
        let mut last = None;
        while claim.taken.len() < terms.limit {
            let Some(place) = self.schedule.ready_after(last) else {
                break;
            };
            last = Some(place);
            let Some(owed) = self.owed.get(&place.id) else {
                continue;
            };
            if !owed.is_due(terms.now) {
                // The clock stepped back.
                let not_before = owed.not_before;
                self.schedule.remove(place, not_before);
                self.schedule.add(place, not_before);
                continue;
            }
            if !self.may_go(owed, &blocked, terms) {
                continue;
            }
            if owed.lease.is_some() && owed.stalls.saturating_add(1) >= terms.max_stalls {
                claim.poison.extend(self.settle(place.id));
            } else {
                claim.taken.extend(self.lease(place.id, terms));
            }
        }
        claim
    }

    /// Whether order lets this member have the message: its lane is not blocked, and the earlier
    /// messages of its key are all in that member's hand.
    fn may_go(&self, owed: &Owed, blocked: &BTreeSet<Lane>, terms: &ClaimTerms<'_>) -> bool {
        if owed.path == Path::Lane && blocked.contains(&owed.entry.lane) {
            return false;
        }
        self.lines.before(owed).all(|earlier| {
            self.owed
                .get(&earlier.id)
                .is_none_or(|earlier| earlier.is_in_hand_of(terms.holder, terms.now))
        })
    }

    fn lease(&mut self, id: MessageId, terms: &mut ClaimTerms<'_>) -> Option<Taken> {
        *terms.next_token += 1;
        let (token, until) = (*terms.next_token, terms.now + terms.lease);
        self.blocking.remove(&id);
        let owed = self.reschedule(id, until)?;
        let lease = Lease {
            token,
            holder: terms.holder,
        };
        if owed.lease.replace(lease).is_some() {
            owed.stalls = owed.stalls.saturating_add(1);
        }
        Some(Taken {
            entry: owed.entry.clone(),
            path: owed.path,
            attempt: owed.failures.saturating_add(1),
            until,
            token,
        })
    }

    /// The lanes in which a failed message is not due yet.
    pub(super) fn blocked_lanes(&self, now: Timestamp) -> BTreeSet<Lane> {
        self.blocking
            .iter()
            .filter_map(|id| self.owed.get(id))
            .filter(|owed| !owed.is_due(now))
            .map(|owed| owed.entry.lane)
            .collect()
    }
}
