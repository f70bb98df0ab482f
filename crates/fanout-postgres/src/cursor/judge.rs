//! What becomes of settlements in a lane.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use fanout_core::{
    CursorReceipt, DeadReason, OnFailure, Ordering, Outcome, SubscriptionOptions, Timestamp,
    Verdict, planted, stored_error,
};

use super::lane_state::{LaneState, State};
use crate::storage::cursor_commits::{CursorUpdate, Dead, Park};

/// One settlement: its place in the call, the delivery and the verdict.
pub(crate) type Item<'a> = (usize, CursorReceipt, &'a Verdict);

/// The decision about settlements of one lane, to be carried out when its update has been committed.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// None when there is nothing that the database must know.
    pub(crate) update: Option<CursorUpdate>,
    settled: BTreeSet<i64>,
    released: BTreeSet<i64>,
    outcomes: Vec<(usize, Decided)>,
}

#[derive(Clone, Copy, Debug)]
enum Decided {
    Now(Outcome),
    /// Due again this long after the commit.
    RetryAfter(Duration),
}

impl Judgement {
    /// Judges settlements in the order of delivery, whatever order they stand in. `jitter` is a fraction
    /// in [0, 1).
    pub(crate) fn of(
        lane: &LaneState,
        mut items: Vec<Item<'_>>,
        options: &SubscriptionOptions,
        jitter: impl Fn() -> f64,
    ) -> Self {
        items.sort_by_key(|(index, receipt, _)| (lane.place_of(receipt.id.0), *index));
        let mut unsettled = match options.ordering {
            Ordering::PerKey => unsettled_by_key(lane),
            Ordering::Unordered => HashMap::new(),
        };
        let mut judgement = Self::default();
        let mut failures = lane.failures.clone();
        let mut block_for: Option<Duration> = None;
        let (mut parks, mut dead) = (Vec::new(), Vec::new());
        for (index, receipt, verdict) in items {
            let id = receipt.id.0;
            let current = lane.rows.get(&id).filter(|entry| {
                matches!(entry.state, State::InHand { delivery, .. }
                    if delivery == receipt.delivery || planted!(IgnoresDelivery))
                    && !judgement.settled.contains(&id)
                    && !judgement.released.contains(&id)
            });
            let Some(row) = current.and_then(|entry| entry.row.as_ref()) else {
                judgement.decide(index, Outcome::Stale);
                continue;
            };
            if *verdict == Verdict::Release {
                judgement.released.insert(id);
                judgement.decide(index, Outcome::Applied);
                continue;
            }
            let of_key = row.key.as_deref().and_then(|key| unsettled.get_mut(key));
            if let Some(of_key) = of_key {
                let place = lane.place_of(id);
                if of_key.first() != Some(&place) && !planted!(SettlesOutOfOrder) {
                    judgement.decide(index, Outcome::OutOfOrder);
                    continue;
                }
                of_key.remove(&place);
            }
            let failed = failures.get(&id).copied().unwrap_or(0) + 1;
            match verdict {
                Verdict::Done | Verdict::Skip | Verdict::Release => {
                    judgement.settled.insert(id);
                    judgement.decide(index, Outcome::Applied);
                }
                Verdict::Fail(reason) if failed >= options.max_attempts => {
                    judgement.settled.insert(id);
                    dead.push(Dead {
                        id,
                        attempts: failed,
                        reason: DeadReason::AttemptsExhausted,
                        error: Some(stored_error(reason)),
                    });
                    judgement.decide(index, Outcome::DeadLettered);
                }
                Verdict::Fail(reason) => {
                    let delay = options.backoff.delay(failed, jitter());
                    if options.on_failure == OnFailure::Block {
                        failures.insert(id, failed);
                        let wait = if planted!(GoesOnWhenBlocked) {
                            Duration::ZERO
                        } else {
                            delay
                        };
                        block_for = Some(block_for.map_or(wait, |longest| longest.max(wait)));
                        judgement.release_from(lane, id);
                    } else {
                        judgement.settled.insert(id);
                        if !planted!(PassesFailed) {
                            parks.push(Park {
                                id,
                                attempts: failed,
                                delay,
                                error: Some(stored_error(reason)),
                            });
                        }
                    }
                    judgement.outcomes.push((index, Decided::RetryAfter(delay)));
                }
            }
        }
        if !judgement.settled.is_empty() || block_for.is_some() {
            failures.retain(|id, _| !judgement.settled.contains(id));
            let mut update = lane.update(&judgement.settled);
            update.trial = update.trial.filter(|id| !judgement.settled.contains(id));
            judgement.update = Some(CursorUpdate {
                failures,
                block_for,
                parks,
                dead,
                ..update
            });
        }
        judgement
    }

    /// Settles messages that nobody has in hand: what stalled too often is given up, what was alone in
    /// hand when its owner vanished is parked.
    pub(crate) fn condemn(lane: &LaneState, poison: &[i64], culprit: Option<i64>) -> Self {
        let mut judgement = Self::default();
        judgement.settled.extend(poison);
        judgement.settled.extend(culprit);
        let mut update = lane.update(&judgement.settled);
        let failed = |id: &i64| lane.failures.get(id).copied().unwrap_or(0);
        update.dead.extend(poison.iter().map(|id| Dead {
            id: *id,
            attempts: failed(id),
            reason: DeadReason::Poison,
            error: None,
        }));
        update.parks.extend(culprit.iter().map(|id| Park {
            id: *id,
            attempts: failed(id),
            delay: Duration::ZERO,
            error: None,
        }));
        update
            .failures
            .retain(|id, _| !judgement.settled.contains(id));
        update.trial = update.trial.filter(|id| !judgement.settled.contains(id));
        judgement.update = Some(update);
        judgement
    }

    /// Tells the database where the lane stands, and nothing else.
    pub(crate) fn remember(lane: &LaneState) -> Self {
        Self {
            update: Some(lane.update(&BTreeSet::new())),
            ..Self::default()
        }
    }

    /// Notes a message as the one that is in hand alone.
    pub(crate) fn try_alone(lane: &LaneState, id: i64) -> Self {
        let mut judgement = Self::remember(lane);
        if let Some(update) = &mut judgement.update {
            update.trial = Some(id);
        }
        judgement
    }

    /// Whether it says more than that receipts are stale, and commits nothing.
    pub(crate) fn needs_proof(&self) -> bool {
        let is_stale = |decided: &Decided| matches!(decided, Decided::Now(Outcome::Stale));
        self.update.is_none() && !self.outcomes.iter().all(|(_, decided)| is_stale(decided))
    }

    fn decide(&mut self, index: usize, outcome: Outcome) {
        self.outcomes.push((index, Decided::Now(outcome)));
    }

    /// A failure that blocks: the message and all in hand behind it are to be delivered again.
    fn release_from(&mut self, lane: &LaneState, id: i64) {
        let place = lane.place_of(id);
        let held = lane.rows.iter().filter(|(id, entry)| {
            matches!(entry.state, State::InHand { .. }) && lane.place_of(**id) >= place
        });
        self.released.extend(held.map(|(id, _)| *id));
    }

    /// Carries it out; returns the outcomes by their place in the call.
    pub(crate) fn carry_out(
        self,
        lane: &mut LaneState,
        moment: Timestamp,
    ) -> Vec<(usize, Outcome)> {
        for id in &self.settled {
            if let Some(entry) = lane.rows.get_mut(id) {
                entry.settle();
            }
        }
        for id in &self.released {
            if let Some(entry) = lane.rows.get_mut(id)
                && entry.state != State::Settled
            {
                entry.state = State::Again;
            }
        }
        if let Some(update) = &self.update {
            lane.updated(update, moment);
        }
        lane.compact();
        let outcomes = self.outcomes.into_iter();
        outcomes
            .map(|(index, decided)| match decided {
                Decided::Now(outcome) => (index, outcome),
                Decided::RetryAfter(delay) => (
                    index,
                    Outcome::Retry {
                        due: moment + delay,
                    },
                ),
            })
            .collect()
    }
}

/// The places of the messages of each key that are not settled.
fn unsettled_by_key(lane: &LaneState) -> HashMap<&str, BTreeSet<(u32, i64)>> {
    let mut of_key: HashMap<&str, BTreeSet<(u32, i64)>> = HashMap::new();
    for (id, entry) in &lane.rows {
        if let Some(key) = entry.row.as_ref().and_then(|row| row.key.as_deref()) {
            of_key.entry(key).or_default().insert(lane.place_of(*id));
        }
    }
    of_key
}
