//! What a member's deliveries come to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fanout_core::{
    CursorReceipt, Extension, Lane, Ordering, Outcome, Result, Scope, Timestamp, Verdict,
};
use tokio::time::Instant;

use super::Session;
use super::lanes::Lanes;
use crate::cursor::hub::LookRequest;
use crate::cursor::judge::{Item, Judgement};
use crate::cursor::lane_state::LaneState;
use crate::settlement_plan::jitter;
use crate::storage::cursors;

/// How often, at most, a session tells the database where its lanes stand.
const REMEMBER_EVERY: Duration = Duration::from_secs(1);
/// A commit that was outrun this often has met something else than another commit.
const COMMIT_ATTEMPTS: usize = 8;

impl Session {
    /// Tells the database now and then where lanes without news stand, so that the ticks before them may
    /// go and the watermark rises.
    pub(super) async fn remember(&self, state: &mut Lanes) -> Result<()> {
        let is_due = state
            .remembered_at
            .is_none_or(|at| at.elapsed() >= REMEMBER_EVERY);
        if is_due {
            state.remembered_at = Some(Instant::now());
        }
        self.tell(state, is_due).await
    }

    /// Tells the database where lanes stand that cover what callers' transactions have settled, and with
    /// `all` also those that are merely ahead of it.
    pub(super) async fn tell(&self, state: &mut Lanes, all: bool) -> Result<()> {
        let news =
            |lane: &LaneState| !lane.folding.is_empty() || all && lane.is_ahead_of_the_database();
        let lanes = state.lanes.values();
        let judgements: Vec<_> = lanes
            .filter(|lane| !lane.suspect && news(lane))
            .map(|lane| (lane.lane, Judgement::remember(lane)))
            .collect();
        self.commit(state, judgements).await?;
        Ok(())
    }

    /// Commits what was judged; carries it out where the cursor was as expected. Returns the outcomes, and
    /// the lanes whose cursors were not.
    pub(super) async fn commit(
        &self,
        state: &mut Lanes,
        judgements: Vec<(Lane, Judgement)>,
    ) -> Result<(Vec<(usize, Outcome)>, Vec<Lane>)> {
        let mut outcomes = Vec::new();
        let (mut pending, mut updates) = (Vec::new(), Vec::new());
        for (lane, judgement) in judgements {
            let Some(of_lane) = state.lanes.get_mut(&lane) else {
                continue;
            };
            match &judgement.update {
                Some(update) => {
                    updates.push(update.clone());
                    pending.push((lane, judgement));
                    // Until the answer is here: this call may be dropped, or fail.
                    of_lane.suspect = true;
                }
                None => outcomes.extend(judgement.carry_out(of_lane, Timestamp::UNIX_EPOCH)),
            }
        }
        if updates.is_empty() {
            return Ok((outcomes, Vec::new()));
        }
        let committed = self.hub.commit(state.server, updates).await?;
        let mut conflicts = Vec::new();
        for ((lane, judgement), moved) in pending.into_iter().zip(committed.moved) {
            match state.lanes.get_mut(&lane) {
                Some(of_lane) if moved => {
                    outcomes.extend(judgement.carry_out(of_lane, committed.moment));
                }
                _ => conflicts.push(lane),
            }
        }
        Ok((outcomes, conflicts))
    }

    /// Settles deliveries of this session; outcomes by their place in the call.
    pub(crate) async fn settle(
        &self,
        items: &[(usize, CursorReceipt, &Verdict)],
        scope: &Scope,
    ) -> Result<Vec<(usize, Outcome)>> {
        let mut state = self.state.lock().await;
        let mut open: Vec<Item<'_>> = items.to_vec();
        let mut outcomes = Vec::new();
        self.note_transactions(&mut state).await?;
        for attempt in 0..COMMIT_ATTEMPTS {
            self.reread(&mut state).await?;
            let mut by_lane: BTreeMap<Lane, Vec<Item<'_>>> = BTreeMap::new();
            for item in std::mem::take(&mut open) {
                match state.lanes.get(&item.1.lane) {
                    Some(lane) if lane.epoch == item.1.epoch => {
                        by_lane.entry(item.1.lane).or_default().push(item);
                    }
                    _ => outcomes.push((item.0, Outcome::Fenced)),
                }
            }
            let judgements: Vec<_> = by_lane
                .iter()
                .map(|(lane, items)| {
                    let of_lane = &state.lanes[lane];
                    let judgement = Judgement::of(of_lane, items.clone(), &scope.options, jitter);
                    (*lane, judgement)
                })
                .collect();
            // What needs no commit is no proof that the lane is still this session's.
            let mut unproven = judgements.iter().filter(|(_, j)| j.needs_proof());
            if unproven.clone().next().is_some() {
                for (lane, _) in unproven.by_ref() {
                    if let Some(of_lane) = state.lanes.get_mut(lane) {
                        of_lane.suspect = true;
                    }
                }
                self.reread(&mut state).await?;
            }
            let cursors = judgements
                .iter()
                .filter(|(_, j)| j.update.is_some())
                .count();
            let (settled, conflicts) = self.commit(&mut state, judgements).await?;
            self.counters.completions(cursors, conflicts.len());
            outcomes.extend(settled);
            if conflicts.is_empty() {
                break;
            }
            tracing::debug!(topic = %scope.topic_name, attempt, ?conflicts, "cursors were moved by another");
            for lane in conflicts {
                open.extend(by_lane.remove(&lane).unwrap_or_default());
            }
            // A caller's transaction may have settled something there, or the server be another.
            self.note_settled_elsewhere(&mut state).await?;
            let request = LookRequest {
                subscription: scope.subscription,
                floor: i64::MAX,
            };
            let look = self.hub.look(request, true).await?;
            self.follow_server(&mut state, &look, scope.options.max_stalls)
                .await?;
        }
        // Outrun again and again: nothing of these took effect.
        outcomes.extend(open.iter().map(|item| (item.0, Outcome::Fenced)));
        Ok(outcomes)
    }

    /// Moves the ends of leases; results by their place in the call.
    pub(crate) async fn extend(
        &self,
        receipts: &[(usize, CursorReceipt)],
        by: Duration,
    ) -> Result<Vec<(usize, Extension)>> {
        let mut state = self.state.lock().await;
        self.note_transactions(&mut state).await?;
        self.reread(&mut state).await?;
        let lanes: BTreeSet<Lane> = receipts.iter().map(|(_, receipt)| receipt.lane).collect();
        let lanes: Vec<Lane> = lanes.into_iter().collect();
        let (moment, mine) = {
            let connection = &mut *self.hub.pool().get().await?;
            let (topic, now) = (self.hub.topic(), self.hub.now());
            cursors::extend(connection, topic, &self.holder, &lanes, by, now).await?
        };
        let until = moment + by;
        let mut extensions = Vec::with_capacity(receipts.len());
        for (index, receipt) in receipts {
            let lane = state
                .lanes
                .get_mut(&receipt.lane)
                .filter(|lane| lane.epoch == receipt.epoch && mine.contains(&lane.lane));
            let extended = lane.is_some_and(|lane| {
                lane.expires_at = lane.expires_at.max(until);
                lane.extend(receipt.id.0, receipt.delivery, until)
            });
            extensions.push((
                *index,
                if extended {
                    Extension::Extended { until }
                } else {
                    Extension::Stale
                },
            ));
        }
        Ok(extensions)
    }

    /// Prepares the settlement of deliveries in a caller's transaction. If they are all still in hand: the
    /// messages that must be settled before them.
    pub(crate) async fn prepare(&self, receipts: &[CursorReceipt]) -> Result<Option<Vec<i64>>> {
        let mut state = self.state.lock().await;
        self.note_transactions(&mut state).await?;
        let settled: BTreeSet<i64> = receipts.iter().map(|receipt| receipt.id.0).collect();
        let mut before = Vec::new();
        for receipt in receipts {
            let lane = state.lanes.get(&receipt.lane).filter(|lane| {
                lane.epoch == receipt.epoch && lane.is_current(receipt.id.0, receipt.delivery)
            });
            let Some(lane) = lane else {
                return Ok(None);
            };
            if self.scope.options.ordering == Ordering::PerKey {
                before.extend(lane.earlier_of_key(receipt.id.0));
            }
        }
        before.retain(|id| !settled.contains(id));
        Ok(Some(before))
    }
}
