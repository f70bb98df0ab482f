//! In which order the settlements of one call are judged.

use std::collections::BTreeSet;

use fanout_core::{Outcome, Timestamp, Verdict};

use super::{Acceptor, Currency, Held, Seat};

impl Acceptor {
    /// The settlements' numbers in an order of delivery: the one that explains the outcomes, where
    /// there are several.
    ///
    /// Between settlements of messages whose order is not known, one that was refused though its lease is
    /// open was so because of a failure in its lane, and comes last.
    pub(super) fn judged(
        &self,
        seat: Seat,
        settled: &[(Held, Verdict)],
        outcomes: &[Outcome],
        now: Timestamp,
    ) -> Vec<usize> {
        let is_open = |held| self.currency_for(seat, held, now) == Currency::Certain;
        // A second use of a receipt is stale by the first, which comes before it.
        let is_first = |number: usize| {
            let held = settled[number].0;
            settled[..number].iter().all(|(other, _)| *other != held)
        };
        let mut left: BTreeSet<usize> = (0..settled.len()).collect();
        let mut judged = Vec::new();
        while !left.is_empty() {
            let is_next = |number: &&usize| {
                !left.iter().any(|other| {
                    other != *number && self.is_judged_first(settled, *other, **number)
                })
            };
            let rank = |number: &&usize| match outcomes[**number] {
                Outcome::Stale | Outcome::Fenced
                    if is_first(**number) && is_open(settled[**number].0) =>
                {
                    2
                }
                Outcome::Retry { .. } => 1,
                _ => 0,
            };
            // Known orders have no circles; should there be one, any beginning is as wrong.
            let next = left.iter().filter(is_next).min_by_key(rank);
            let Some(next) = next.or(left.first()).copied() else {
                break;
            };
            left.remove(&next);
            judged.push(next);
        }
        judged
    }

    fn is_judged_first(&self, settled: &[(Held, Verdict)], first: usize, second: usize) -> bool {
        let (a, b) = (settled[first].0, settled[second].0);
        if a == b {
            return first < second;
        }
        let (seat, earlier) = (self.handed[a].seat, self.handed[a].message);
        if seat != self.handed[b].seat || !self.keeps_order(seat) {
            return false;
        }
        let later = self.handed[b].message;
        let revealed = self
            .incarnation(seat)
            .owed
            .get(&later)
            .and_then(|owed| owed.lease.as_ref())
            .is_some_and(|lease| lease.place.after.contains(&earlier));
        revealed || self.lane(earlier) == self.lane(later) && self.precedes(earlier, later)
    }
}
