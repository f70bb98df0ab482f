//! The lanes of one member.

use std::collections::BTreeMap;
use std::time::Duration;

use fanout_core::{Lane, Result, Timestamp};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cursor::lane_state::LaneState;
use crate::storage::cursors::Holding;

/// How long at a time, and how often, a member that has more than its share delivers nothing from the lanes
/// that it is to give up. A lane goes only with nothing in hand, which else may never come to pass.
const DRY_FOR: Duration = Duration::from_millis(250);
const DRY_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Lanes {
    pub(super) lanes: BTreeMap<Lane, LaneState>,
    /// Ticks from this one on stay.
    pub(super) oldest_tick: i64,
    pub(super) members: usize,
    pub(super) share: usize,
    pub(super) held_at: Option<Instant>,
    /// Since when it has more than its share.
    pub(super) crowded_at: Option<Instant>,
    /// What the database was asked, while the answer is not here.
    pub(super) asking: Option<JoinHandle<Result<Holding>>>,
    /// The database may know this session as a member.
    pub(super) has_asked: bool,
    pub(super) remembered_at: Option<Instant>,
    pub(super) server: Option<Timestamp>,
    /// The lane to begin with next time.
    pub(super) next: u16,
}

impl Lanes {
    /// The lanes beyond the fair share: the last ones.
    fn extra(&self) -> impl Iterator<Item = &LaneState> {
        let known = self.members > 0;
        let extra = self.lanes.len().saturating_sub(self.share);
        self.lanes
            .values()
            .rev()
            .take(if known { extra } else { 0 })
    }

    /// Those of them that can be given up now.
    pub(super) fn surplus(&self) -> Vec<Lane> {
        let free = self
            .extra()
            .filter(|lane| !lane.suspect && lane.is_free_to_go());
        free.map(|lane| lane.lane).collect()
    }

    /// Notes whether there are lanes to give up.
    pub(super) fn note_share(&mut self) {
        let has_extra = self.extra().next().is_some();
        self.crowded_at = self
            .crowded_at
            .or_else(|| Some(Instant::now()))
            .filter(|_| has_extra);
    }

    /// Those that nothing is delivered from at this moment, so that they can be given up.
    pub(super) fn drying(&self) -> Vec<Lane> {
        let dries = |since: Instant| since.elapsed().as_millis() % DRY_EVERY.as_millis();
        let now = self
            .crowded_at
            .is_some_and(|since| dries(since) < DRY_FOR.as_millis());
        let extra = self.extra().filter(|_| now);
        extra.map(|lane| lane.lane).collect()
    }
}
