//! Handing out what a member's lanes have.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Lane, Result, Scope, Timestamp};

use super::Session;
use super::lanes::Lanes;
use crate::cursor::block::{Block, Page};
use crate::cursor::hub::Look;
use crate::cursor::judge::Judgement;
use crate::cursor::lane_state::Handed;

/// Rows of a lane that one read takes at least and at most.
const SMALLEST_PAGE: usize = 32;
const LARGEST_PAGE: usize = 1000;

/// A span, and lanes with the ids above which rows of it are to be read.
type Wanted = (Arc<Block>, Vec<(Lane, i64)>);

impl Session {
    /// Whether it has something to hand out as of a look.
    pub(crate) async fn is_ready(&self, look: &Look, limit: usize, scope: &Scope) -> Result<bool> {
        let mut state = self.state.lock().await;
        self.catch_on(&mut state, look, scope).await?;
        loop {
            self.enter_spans(&mut state);
            if state.lanes.values().any(|lane| lane.has_due(look.moment)) {
                return Ok(true);
            }
            if !self.read(&mut state, limit).await? {
                return Ok(false);
            }
        }
    }

    /// Takes in what a look tells: another server, lanes to take or to give up, commits whose end is not
    /// known, what callers' transactions have settled, leases that have ended.
    async fn catch_on(&self, state: &mut Lanes, look: &Look, scope: &Scope) -> Result<()> {
        self.follow_server(state, look, scope.options.max_stalls)
            .await?;
        self.keep_lanes(state, look, scope).await?;
        self.reread(state).await?;
        if look.lanes_folding {
            self.note_settled_elsewhere(state).await?;
        }
        for lane in state.lanes.values_mut() {
            lane.expire(look.moment);
        }
        Ok(())
    }

    /// Hands out up to `limit` messages.
    pub(crate) async fn claim(
        &self,
        look: &Look,
        limit: usize,
        scope: &Scope,
    ) -> Result<Vec<(i64, Handed)>> {
        let options = &scope.options;
        let mut state = self.state.lock().await;
        let now = look.moment;
        self.catch_on(&mut state, look, scope).await?;
        let mut handed = Vec::new();
        let mut ticked = false;
        loop {
            self.enter_spans(&mut state);
            self.sort_out(&mut state, now, options.max_stalls).await?;
            Self::hand_out(&mut state, now, limit, options.lease, &mut handed);
            if handed.len() == limit {
                break;
            }
            if self.read(&mut state, limit).await?
                || self.extend_spans(&mut state, now, limit).await?
            {
                continue;
            }
            if !handed.is_empty() || ticked {
                break;
            }
            // Nothing unread is left: what was published since belongs to the next tick.
            ticked = true;
            let before = self.hub.newest();
            if self.hub.tick().await? == before && !Self::is_behind(&state, before) {
                break;
            }
        }
        self.remember(&mut state).await?;
        Ok(handed)
    }

    fn is_behind(state: &Lanes, newest: i64) -> bool {
        let mut lanes = state.lanes.values();
        lanes.any(|lane| lane.is_between_spans() && lane.tick.number < newest)
    }

    /// Leaves finished spans and enters the next.
    fn enter_spans(&self, state: &mut Lanes) {
        let (oldest, untracked) = (state.oldest_tick, self.untracked());
        for lane in state.lanes.values_mut() {
            if let Some(through) = lane.promised() {
                let block = self.hub.span(&lane.tick, through, untracked);
                lane.open(block);
            }
            lane.finish_span();
            if lane.is_between_spans()
                && let Some(block) = self.hub.span_after(&lane.tick, oldest, untracked)
            {
                lane.open(block);
            }
        }
    }

    /// Gives up poison, parks what was in hand alone when a former owner vanished, and notes what will be
    /// in hand alone.
    async fn sort_out(&self, state: &mut Lanes, now: Timestamp, max_stalls: u32) -> Result<()> {
        let mut judgements = Vec::new();
        for lane in state.lanes.values().filter(|lane| !lane.suspect) {
            let (poison, culprit) = lane.condemned(max_stalls);
            if !poison.is_empty() || culprit.is_some() {
                judgements.push((lane.lane, Judgement::condemn(lane, &poison, culprit)));
            } else if let Some(id) = lane.trial_wanted(now) {
                judgements.push((lane.lane, Judgement::try_alone(lane, id)));
            }
        }
        self.commit(state, judgements).await?;
        Ok(())
    }

    fn hand_out(
        state: &mut Lanes,
        now: Timestamp,
        limit: usize,
        lease: Duration,
        handed: &mut Vec<(i64, Handed)>,
    ) {
        // Lane by lane, so that a batch settles few cursors; another lane begins each time.
        let first = Lane(state.next);
        let drying = state.drying();
        let order: Vec<Lane> = state
            .lanes
            .range(first..)
            .chain(state.lanes.range(..first))
            .map(|(lane, _)| *lane)
            .filter(|lane| !drying.contains(lane))
            .collect();
        for lane in order {
            let room = limit - handed.len();
            if room == 0 {
                state.next = lane.0;
                return;
            }
            if let Some(of_lane) = state.lanes.get_mut(&lane) {
                let epoch = of_lane.epoch;
                let more = of_lane.hand_out(now, room, lease).into_iter();
                handed.extend(more.map(|handed| (epoch, handed)));
            }
        }
    }

    /// Reads rows where none are left to hand out; tells whether any lane moved on.
    pub(super) async fn read(&self, state: &mut Lanes, limit: usize) -> Result<bool> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for lane in state.lanes.values() {
            if let Some((block, after)) = lane.wants_rows() {
                match wanted
                    .iter_mut()
                    .find(|(other, _)| Arc::ptr_eq(other, &block))
                {
                    Some((_, lanes)) => lanes.push((lane.lane, after)),
                    None => wanted.push((block, vec![(lane.lane, after)])),
                }
            }
        }
        let moved = !wanted.is_empty();
        for (block, lanes) in wanted {
            let page = (limit.saturating_mul(2) / lanes.len()).clamp(SMALLEST_PAGE, LARGEST_PAGE);
            let pages: Option<Vec<Page>> = self.hub.rows(&block, &lanes, page).await?;
            for (index, (lane, _)) in lanes.iter().enumerate() {
                if let Some(of_lane) = state.lanes.get_mut(lane) {
                    match &pages {
                        Some(pages) => of_lane.take(&pages[index]),
                        None => (of_lane.suspect, of_lane.astray) = (true, true),
                    }
                }
            }
            if pages.is_none() {
                return Ok(false);
            }
        }
        Ok(moved)
    }

    /// Lets lanes whose span is in hand as a whole read on; tells whether any does.
    async fn extend_spans(&self, state: &mut Lanes, now: Timestamp, limit: usize) -> Result<bool> {
        let (oldest, untracked) = (state.oldest_tick, self.untracked());
        let mut extended = false;
        for lane in state.lanes.values_mut() {
            let next = lane
                .extensible_from(now)
                .and_then(|end| self.hub.span_after(end, oldest, untracked));
            let Some(block) = next else {
                continue;
            };
            let highest = lane.highest();
            let mut all = Page::default();
            let limit = limit.clamp(SMALLEST_PAGE, LARGEST_PAGE);
            loop {
                let after = all.rows.last().map_or(0, |row| row.id);
                let wanted = [(lane.lane, after)];
                let Some(pages) = self.hub.rows(&block, &wanted, limit).await? else {
                    (lane.suspect, lane.astray) = (true, true);
                    return Ok(false);
                };
                for page in pages {
                    all.complete = page.complete;
                    all.rows.extend(page.rows);
                }
                if all.complete || all.rows.last().is_some_and(|row| row.id >= highest) {
                    lane.extend_span(block, &all);
                    extended = true;
                    break;
                }
                if all.rows.len() > lane.room() {
                    lane.close_span();
                    break;
                }
            }
        }
        Ok(extended)
    }
}
