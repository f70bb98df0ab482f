//! Which lanes a member owns, and what it knows of their cursors.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fanout_core::{Error, ErrorKind, Lane, Result, Scope};
use tokio::time::Instant;

use super::Session;
use super::lanes::Lanes;
use crate::cursor::Tick;
use crate::cursor::hub::Look;
use crate::cursor::lane_state::LaneState;
use crate::storage::cursors::{self, Holding};

/// How often, at least, a session tells that it is alive and which ticks it needs, in parts of a lease; and
/// how often at most for long leases. Whether others have come or gone it learns from looks.
const HOLDS_PER_LEASE: u32 = 4;
const HOLD_EVERY: Duration = Duration::from_secs(5);

impl Session {
    /// Finds out what is left of this session's ticks when the server is another than before, or was
    /// restarted: a crash takes ticks back that no cursor stood at.
    pub(super) async fn follow_server(
        &self,
        state: &mut Lanes,
        look: &Look,
        max_stalls: u32,
    ) -> Result<()> {
        let before = state.server.replace(look.server);
        if before.is_none_or(|before| before == look.server) || state.lanes.is_empty() {
            return Ok(());
        }
        state.server = before;
        let ticks: Vec<_> = state.lanes.values().flat_map(LaneState::ticks).collect();
        let numbers: Vec<i64> = ticks.iter().map(|tick| tick.number).collect();
        let there = self.hub.snapshots(&numbers).await?;
        let gone = |lane: &LaneState| {
            let is_there = |tick: &Tick| {
                let mut there = there.iter();
                there
                    .any(|(number, snapshot)| *number == tick.number && *snapshot == *tick.snapshot)
            };
            !lane.ticks().iter().all(is_there)
        };
        let lost: Vec<(Lane, i64)> = state
            .lanes
            .values()
            .filter(|lane| gone(lane))
            .map(|lane| (lane.lane, lane.epoch))
            .collect();
        let cursors = self.cursors(&lost).await?;
        for cursor in cursors {
            match state.lanes.get_mut(&cursor.lane) {
                Some(lane) if lane.epoch == cursor.epoch => lane.restart(cursor, max_stalls),
                _ => {}
            }
        }
        for lane in state.lanes.values_mut() {
            lane.suspect = true;
        }
        state.server = Some(look.server);
        Ok(())
    }

    /// Renews leases before a delivery would outlast them, gives up lanes beyond the fair share, takes
    /// free ones.
    pub(super) async fn keep_lanes(
        &self,
        state: &mut Lanes,
        look: &Look,
        scope: &Scope,
    ) -> Result<()> {
        let lease = scope.options.lease;
        let runs_out = |lane: &LaneState| lane.expires_at < look.moment + lease;
        let hold_every = HOLD_EVERY.min(lease / HOLDS_PER_LEASE);
        let is_old = state.held_at.is_none_or(|at| at.elapsed() > hold_every);
        let wants_more = state.lanes.len() < state.share && look.free_lanes > 0;
        if state.held_at.is_some()
            && !is_old
            && !wants_more
            && look.members == state.members
            && state.surplus().is_empty()
            && !state.lanes.values().any(runs_out)
        {
            return Ok(());
        }
        // Asked again if this call is dropped, or fails: lanes may have been given up by then.
        state.held_at = None;
        state.has_asked = true;
        for _ in 0..2 {
            let give = state.surplus();
            let holding = self.ask(state, &give, self.term(lease)).await?;
            for lane in &give {
                state.lanes.remove(lane);
            }
            self.take_over(state, holding, scope.options.max_stalls);
            if state.surplus().is_empty() {
                break;
            }
        }
        state.held_at = Some(Instant::now());
        state.note_share();
        Ok(())
    }

    /// Asks the database for lanes, in a task of its own: what a call that was dropped has asked must not
    /// come to the database after what a later one asks.
    async fn ask(&self, state: &mut Lanes, give: &[Lane], term: Duration) -> Result<Holding> {
        Self::answered(state).await.ok();
        // What is in memory alone must stay in the database.
        let lanes = state.lanes.values();
        let standing = lanes.flat_map(LaneState::unstored_ticks).min();
        let (pool, now, give) = (self.hub.pool().clone(), self.hub.now(), give.to_vec());
        let holder = self.holder.clone();
        state.asking = Some(tokio::spawn(async move {
            let connection = &mut *pool.get().await?;
            cursors::hold(connection, &holder, term, &give, standing, now).await
        }));
        Self::answered(state).await
    }

    /// What the database said to what was asked last, by this call or one that was dropped.
    pub(super) async fn answered(state: &mut Lanes) -> Result<Holding> {
        let answer = match &mut state.asking {
            Some(asking) => asking.await.ok(),
            None => None,
        };
        state.asking = None;
        answer.unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Closed,
                "the runtime that the engine ran on is gone",
            ))
        })
    }

    fn take_over(&self, state: &mut Lanes, holding: Holding, max_stalls: u32) {
        (state.members, state.share) = (holding.members, holding.share);
        state.oldest_tick = holding.oldest_tick;
        let mut mine = BTreeMap::new();
        if holding.alive {
            for (cursor, expires_at) in holding.lanes {
                let lane = match state.lanes.remove(&cursor.lane) {
                    Some(mut lane) if lane.epoch == cursor.epoch => {
                        lane.expires_at = expires_at;
                        lane.suspect |= lane.version != cursor.version;
                        lane
                    }
                    _ => LaneState::new(self.group(), cursor, expires_at, max_stalls),
                };
                mine.insert(lane.lane, lane);
            }
        }
        state.lanes = mine;
        *self.owned.write() = state
            .lanes
            .values()
            .map(|lane| (lane.lane, (lane.epoch, lane.expires_at)))
            .collect();
    }

    pub(super) async fn cursors(&self, lanes: &[(Lane, i64)]) -> Result<Vec<cursors::Cursor>> {
        if lanes.is_empty() {
            return Ok(Vec::new());
        }
        let connection = &mut *self.hub.pool().get().await?;
        cursors::reread(connection, self.hub.topic(), self.group(), lanes).await
    }

    /// Reads the cursors again of which it is not known whether a commit moved them.
    pub(super) async fn reread(&self, state: &mut Lanes) -> Result<()> {
        let suspects = state.lanes.values().filter(|lane| lane.suspect);
        let suspects: Vec<(Lane, i64)> = suspects.map(|lane| (lane.lane, lane.epoch)).collect();
        if suspects.is_empty() {
            return Ok(());
        }
        let mut found: BTreeMap<Lane, cursors::Cursor> = self
            .cursors(&suspects)
            .await?
            .into_iter()
            .map(|cursor| (cursor.lane, cursor))
            .collect();
        for (lane, _) in suspects {
            let Some(state_of) = state.lanes.get_mut(&lane) else {
                continue;
            };
            match found.remove(&lane) {
                Some(cursor) if cursor.epoch == state_of.epoch && state_of.astray => {
                    state_of.restart(cursor, self.scope.options.max_stalls);
                }
                Some(cursor) if cursor.epoch == state_of.epoch => state_of.adopt(cursor),
                _ => self.lose(state, lane),
            }
        }
        Ok(())
    }

    fn lose(&self, state: &mut Lanes, lane: Lane) {
        state.lanes.remove(&lane);
        self.owned.write().remove(&lane);
        // Who else is there has changed.
        state.held_at = None;
    }

    /// Reads what callers' transactions have settled of what is in hand, if any do so.
    pub(super) async fn note_transactions(&self, state: &mut Lanes) -> Result<()> {
        if self.hub.settles_in_transactions() {
            self.note_settled_elsewhere(state).await?;
        }
        Ok(())
    }

    pub(super) async fn note_settled_elsewhere(&self, state: &mut Lanes) -> Result<()> {
        let lanes: Vec<Lane> = state.lanes.keys().copied().collect();
        let connection = &mut *self.hub.pool().get().await?;
        let found =
            cursors::settled_elsewhere(connection, self.hub.topic(), self.group(), &lanes).await?;
        let mut by_lane: BTreeMap<Lane, BTreeSet<i64>> = BTreeMap::new();
        for (lane, id) in found {
            by_lane.entry(lane).or_default().insert(id);
        }
        for lane in state.lanes.values_mut() {
            lane.note_settled_elsewhere(by_lane.remove(&lane.lane).unwrap_or_default());
        }
        Ok(())
    }
}
