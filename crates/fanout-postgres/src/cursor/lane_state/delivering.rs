//! What of a lane is in hand, and what is due.

use std::collections::BTreeSet;
use std::time::Duration;

use fanout_core::{Timestamp, planted};

use super::entry::{Entry, State};
use super::{Handed, LaneState};

/// With this many ranges settled ahead a lane delivers nothing more: its cursor would grow too large.
const MAX_RANGES: usize = 500;

impl LaneState {
    /// Takes back what has been in hand for too long.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        for entry in self.rows.values_mut() {
            let now = if planted!(ExpiresEarly) {
                now + Duration::from_millis(1500)
            } else {
                now
            };
            if matches!(entry.state, State::InHand { until, .. } if until <= now) {
                entry.state = State::Again;
                entry.expiries += 1;
            }
        }
    }

    /// Messages whose leases ended `max_stalls` times, and one that was alone in hand when the last owner
    /// vanished.
    pub(crate) fn condemned(&self, max_stalls: u32) -> (Vec<i64>, Option<i64>) {
        let undelivered = self.rows.iter().filter(|(_, entry)| entry.is_due());
        let poison = undelivered
            .filter(|(_, entry)| entry.expiries >= max_stalls)
            .map(|(id, _)| *id);
        let is_here = |id: &i64| self.rows.get(id).is_some_and(|e| e.state == State::Fresh);
        (poison.collect(), self.culprit.filter(is_here))
    }

    /// The message that must be noted as the one in hand before it is delivered, in a lane that stalled
    /// often.
    pub(crate) fn trial_wanted(&self, now: Timestamp) -> Option<i64> {
        let next = self
            .next_due(now)
            .filter(|_| self.careful && self.in_hand() == 0)?;
        (self.trial != Some(next)).then_some(next)
    }

    fn in_hand(&self) -> usize {
        let held = |entry: &&Entry| matches!(entry.state, State::InHand { .. });
        self.rows.values().filter(held).count()
    }

    /// How many messages are in hand under a lease that has not ended.
    pub(crate) fn in_hand_at(&self, now: Timestamp) -> usize {
        let held =
            |entry: &&Entry| matches!(entry.state, State::InHand { until, .. } if until > now);
        self.rows.values().filter(held).count()
    }

    /// Whether a delivery is still in hand.
    pub(crate) fn is_current(&self, id: i64, number: i64) -> bool {
        matches!(self.rows.get(&id), Some(Entry { state: State::InHand { delivery, .. }, .. })
            if *delivery == number)
    }

    /// The unsettled messages of the same key that come before a message.
    pub(crate) fn earlier_of_key(&self, id: i64) -> Vec<i64> {
        let Some(entry) = self.rows.get(&id) else {
            return Vec::new();
        };
        let Some(key) = entry.key() else {
            return Vec::new();
        };
        let place = (entry.rank, id);
        let earlier = self
            .rows
            .iter()
            .filter(|(id, entry)| (entry.rank, **id) < place);
        let of_key = earlier.filter(|(_, entry)| entry.key() == Some(key));
        of_key.map(|(id, _)| *id).collect()
    }

    /// Moves the end of a delivery's lease; tells whether it is still in hand.
    pub(crate) fn extend(&mut self, id: i64, number: i64, end: Timestamp) -> bool {
        match self.rows.get_mut(&id).map(|entry| &mut entry.state) {
            Some(State::InHand { delivery, until }) if *delivery == number => {
                *until = end;
                true
            }
            _ => false,
        }
    }

    /// Whether it may be given to another member.
    pub(crate) fn is_free_to_go(&self) -> bool {
        self.in_hand() == 0 && self.resting_until.is_none()
    }

    pub(super) fn is_waiting(&self, now: Timestamp) -> bool {
        self.suspect
            || self.blocked_until.is_some_and(|until| now < until)
            || self.resting_until.is_some_and(|until| now < until)
    }

    fn next_due(&self, now: Timestamp) -> Option<i64> {
        if self.is_waiting(now) {
            return None;
        }
        let due = self.rows.iter().filter(|(_, entry)| entry.is_due());
        due.map(|(id, entry)| (entry.rank, *id))
            .min()
            .map(|(_, id)| id)
    }

    /// The place of a message in the order of the lane.
    pub(in crate::cursor) fn place_of(&self, id: i64) -> (u32, i64) {
        (self.rows.get(&id).map_or(0, |entry| entry.rank), id)
    }

    /// What is to be delivered, in the order of the lane.
    fn due(&self, limit: usize) -> Vec<i64> {
        let due = self.rows.iter().filter(|(_, entry)| entry.is_due());
        if self.rank == 0 {
            return due.map(|(id, _)| *id).take(limit).collect();
        }
        let mut places: Vec<(u32, i64)> = due.map(|(id, entry)| (entry.rank, *id)).collect();
        places.sort_unstable();
        places.into_iter().map(|(_, id)| id).take(limit).collect()
    }

    /// Whether it has something to deliver without reading.
    pub(crate) fn has_due(&self, now: Timestamp) -> bool {
        self.next_due(now).is_some()
    }

    /// Hands out up to `limit` messages, lowest first.
    pub(crate) fn hand_out(
        &mut self,
        now: Timestamp,
        limit: usize,
        lease: Duration,
    ) -> Vec<Handed> {
        if self.is_waiting(now) {
            return Vec::new();
        }
        self.resting_until = None;
        let until = now + lease;
        let limit = match (self.careful, self.in_hand()) {
            (true, 0) => limit.min(usize::from(self.trial_wanted(now).is_none())),
            (true, _) => 0,
            (false, _) if self.position(&BTreeSet::new()).ahead.ranges() >= MAX_RANGES => 0,
            (false, _) => limit,
        };
        let mut handed = Vec::new();
        for id in self.due(limit) {
            let Some(entry) = self.rows.get_mut(&id) else {
                continue;
            };
            let Some(row) = entry.row.clone() else {
                continue;
            };
            self.next_delivery += 1;
            entry.state = State::InHand {
                delivery: self.next_delivery,
                until,
            };
            handed.push(Handed {
                row,
                delivery: self.next_delivery,
                failures: self.failures.get(&id).copied().unwrap_or(0),
                until,
            });
        }
        handed
    }
}
