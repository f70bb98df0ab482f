//! A member's lanes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{
    CursorReceipt, Error, ErrorKind, Extension, GroupIndex, Lane, Ordering, Outcome, Result, Scope,
    Timestamp, Verdict,
};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::block::{Block, Page};
use super::hub::{Hub, Look, LookRequest};
use super::judge::{Item, Judgement};
use super::lane_state::{Handed, LaneState};
use crate::counters::Counters;
use crate::settlement_plan::jitter;
use crate::storage::cursors::{self, CursorUpdate, Holder, Holding};

/// How often, at most, a session tells the database where its lanes stand.
const REMEMBER_EVERY: Duration = Duration::from_secs(1);
/// How often, at least, it tells that it is alive and which ticks it needs, in parts of a lease; and how
/// often at most for long leases. Whether others have come or gone it learns from looks.
const HOLDS_PER_LEASE: u32 = 4;
const HOLD_EVERY: Duration = Duration::from_secs(5);
/// Rows of a lane that one read takes at least and at most.
const SMALLEST_PAGE: usize = 32;
const LARGEST_PAGE: usize = 1000;
/// A commit that was outrun this often has met something else than another commit.
const COMMIT_ATTEMPTS: usize = 8;

/// One member's lanes and what it has in hand of them.
#[derive(Debug)]
pub(crate) struct Session {
    hub: Arc<Hub>,
    scope: Scope,
    /// Unique, so that nobody else's lease is taken for this session's.
    owner: String,
    name: String,
    counters: Arc<Counters>,
    /// One call at a time.
    state: Mutex<Lanes>,
    /// Epochs of the lanes owned, and when their leases end, for whoever looks for the owner of a receipt.
    owned: RwLock<BTreeMap<Lane, (i64, Timestamp)>>,
    /// The member was dropped: nobody fetches any more.
    abandoned: AtomicBool,
}

/// A span, and lanes with the ids above which rows of it are to be read.
type Wanted = (Arc<Block>, Vec<(Lane, i64)>);

#[derive(Debug, Default)]
struct Lanes {
    lanes: BTreeMap<Lane, LaneState>,
    /// Ticks from this one on stay.
    oldest_tick: i64,
    members: usize,
    share: usize,
    held_at: Option<Instant>,
    /// What it was asked, while the answer is not here.
    asking: Option<JoinHandle<Result<Holding>>>,
    /// The database may know this session as a member.
    has_asked: bool,
    remembered_at: Option<Instant>,
    server: Option<Timestamp>,
    /// The lane to begin with next time.
    next: u16,
}

impl Session {
    pub(crate) fn new(hub: Arc<Hub>, scope: Scope, name: &str, counters: Arc<Counters>) -> Self {
        let tag: u64 = rand::RngExt::random(&mut rand::rng());
        Self {
            hub,
            scope,
            owner: format!("{name}#{tag:016x}"),
            name: name.to_owned(),
            counters,
            state: Mutex::default(),
            owned: RwLock::default(),
            abandoned: AtomicBool::new(false),
        }
    }

    pub(crate) const fn group(&self) -> GroupIndex {
        self.scope.group
    }

    /// Whether this session owned the lane at this epoch when it last heard of it.
    pub(crate) fn owns(&self, group: GroupIndex, lane: Lane, epoch: i64) -> bool {
        let owned = self.owned.read();
        group == self.group() && owned.get(&lane).is_some_and(|(owned, _)| *owned == epoch)
    }

    /// How many messages are in hand under leases that have not ended.
    pub(crate) async fn in_hand(&self, now: Timestamp) -> Result<usize> {
        let mut state = self.state.lock().await;
        self.note_transactions(&mut state).await?;
        Ok(state.lanes.values().map(|lane| lane.in_hand_at(now)).sum())
    }

    /// Nobody will fetch with it any more; its receipts can be settled while its lanes are its own.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Relaxed);
    }

    /// Whether nothing can come of it any more: nobody fetches with it, and its leases have ended.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        let owned = self.owned.read();
        self.abandoned.load(Relaxed) && owned.values().all(|(_, expires_at)| *expires_at <= now)
    }

    const fn untracked(&self) -> bool {
        matches!(self.scope.options.ordering, Ordering::Unordered)
    }

    fn holder(&self) -> Holder<'_> {
        Holder {
            subscription: self.scope.subscription,
            group: self.scope.group,
            owner: &self.owner,
            name: &self.name,
        }
    }

    /// Longer than the leases of deliveries, so that it need not be renewed with each of them.
    fn term(&self, lease: Duration) -> Duration {
        lease + lease / 4
    }

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

    /// Whether it can hand something out without asking for a tick.
    pub(crate) fn has_work(&self) -> bool {
        let now = self.hub.moment();
        self.state.try_lock().is_ok_and(|state| {
            let newest = self.hub.newest();
            state.lanes.is_empty()
                || state.lanes.values().any(|lane| {
                    lane.has_due(now)
                        || lane.wants_rows().is_some()
                        || lane.is_between_spans() && lane.tick.number < newest
                        || lane
                            .extensible_from(now)
                            .is_some_and(|end| end.number < newest)
                })
        })
    }

    /// Whether all its lanes stand at the newest tick that is known here.
    pub(crate) fn is_idle(&self) -> bool {
        let newest = self.hub.newest();
        self.state.try_lock().is_ok_and(|state| {
            let mut lanes = state.lanes.values();
            lanes.all(|lane| lane.is_between_spans() && lane.tick.number >= newest)
        })
    }

    fn is_behind(state: &Lanes, newest: i64) -> bool {
        let mut lanes = state.lanes.values();
        lanes.any(|lane| lane.is_between_spans() && lane.tick.number < newest)
    }

    /// Finds out what is left of this session's ticks when the server is another than before, or was
    /// restarted: a crash takes ticks back that no cursor stood at.
    async fn follow_server(&self, state: &mut Lanes, look: &Look, max_stalls: u32) -> Result<()> {
        let before = state.server.replace(look.server);
        if before.is_none_or(|before| before == look.server) || state.lanes.is_empty() {
            return Ok(());
        }
        state.server = before;
        let ticks: Vec<_> = state.lanes.values().flat_map(LaneState::ticks).collect();
        let numbers: Vec<i64> = ticks.iter().map(|tick| tick.number).collect();
        let there = self.hub.snapshots(&numbers).await?;
        let gone = |lane: &LaneState| {
            let is_there = |tick: &super::Tick| {
                let mut there = there.iter();
                there
                    .any(|(number, snapshot)| *number == tick.number && *snapshot == *tick.snapshot)
            };
            !lane.ticks().iter().all(is_there)
        };
        let lost: Vec<Lane> = state
            .lanes
            .values()
            .filter(|lane| gone(lane))
            .map(|lane| lane.lane)
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
    async fn keep_lanes(&self, state: &mut Lanes, look: &Look, scope: &Scope) -> Result<()> {
        let lease = scope.options.lease;
        let runs_out = |lane: &LaneState| lane.expires_at < look.moment + lease;
        let hold_every = HOLD_EVERY.min(lease / HOLDS_PER_LEASE);
        let is_old = state.held_at.is_none_or(|at| at.elapsed() > hold_every);
        let wants_more = state.lanes.len() < state.share && look.free_lanes > 0;
        if state.held_at.is_some()
            && !is_old
            && !wants_more
            && look.members == state.members
            && !state.lanes.values().any(runs_out)
        {
            return Ok(());
        }
        // Asked again if this call is dropped, or fails: lanes may have been given up by then.
        state.held_at = None;
        state.has_asked = true;
        for _ in 0..2 {
            let give = Self::surplus(state);
            let holding = self.ask(state, &give, self.term(lease)).await?;
            for lane in &give {
                state.lanes.remove(lane);
            }
            self.take_over(state, holding, scope.options.max_stalls);
            if Self::surplus(state).is_empty() {
                break;
            }
        }
        state.held_at = Some(Instant::now());
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
        let (subscription, group) = (self.scope.subscription, self.scope.group);
        let (owner, name) = (self.owner.clone(), self.name.clone());
        state.asking = Some(tokio::spawn(async move {
            let holder = Holder {
                subscription,
                group,
                owner: &owner,
                name: &name,
            };
            let connection = &mut *pool.get().await?;
            cursors::hold(connection, &holder, term, &give, standing, now).await
        }));
        Self::answered(state).await
    }

    /// What the database said to what was asked last, by this call or one that was dropped.
    async fn answered(state: &mut Lanes) -> Result<Holding> {
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

    /// Lanes with nothing in hand that are more than the fair share.
    fn surplus(state: &Lanes) -> Vec<Lane> {
        let surplus = state.lanes.len().saturating_sub(state.share);
        let lanes = state.lanes.values().rev();
        let free = lanes.filter(|lane| !lane.suspect && lane.is_free_to_go());
        free.take(if state.members == 0 { 0 } else { surplus })
            .map(|lane| lane.lane)
            .collect()
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

    async fn cursors(&self, lanes: &[Lane]) -> Result<Vec<cursors::Cursor>> {
        if lanes.is_empty() {
            return Ok(Vec::new());
        }
        let connection = &mut *self.hub.pool().get().await?;
        cursors::cursors(connection, self.hub.topic(), self.group(), lanes).await
    }

    /// Reads the cursors again of which it is not known whether a commit moved them.
    async fn reread(&self, state: &mut Lanes) -> Result<()> {
        let suspects = state.lanes.values().filter(|lane| lane.suspect);
        let suspects: Vec<Lane> = suspects.map(|lane| lane.lane).collect();
        if suspects.is_empty() {
            return Ok(());
        }
        let mut found: BTreeMap<Lane, cursors::Cursor> = self
            .cursors(&suspects)
            .await?
            .into_iter()
            .map(|cursor| (cursor.lane, cursor))
            .collect();
        for lane in suspects {
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
    async fn note_transactions(&self, state: &mut Lanes) -> Result<()> {
        if self.hub.settles_in_transactions() {
            self.note_settled_elsewhere(state).await?;
        }
        Ok(())
    }

    async fn note_settled_elsewhere(&self, state: &mut Lanes) -> Result<()> {
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
        let order: Vec<Lane> = state
            .lanes
            .range(first..)
            .chain(state.lanes.range(..first))
            .map(|(lane, _)| *lane)
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
    async fn read(&self, state: &mut Lanes, limit: usize) -> Result<bool> {
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

    /// Tells the database now and then where lanes without news stand, so that the ticks before them may
    /// go and the watermark rises.
    async fn remember(&self, state: &mut Lanes) -> Result<()> {
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
    async fn tell(&self, state: &mut Lanes, all: bool) -> Result<()> {
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
    async fn commit(
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
                    updates.push(CursorUpdate {
                        server: state.server.unwrap_or(update.server),
                        ..update.clone()
                    });
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
        let committed = self.hub.commit(updates).await?;
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
            cursors::extend(connection, topic, &self.holder(), &lanes, by, now).await?
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

    /// Gives everything back and all lanes up.
    pub(crate) async fn leave(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        if !state.has_asked {
            return Ok(());
        }
        Self::answered(&mut state).await.ok();
        self.reread(&mut state).await?;
        self.tell(&mut state, true).await?;
        let connection = &mut *self.hub.pool().get().await?;
        cursors::let_go(connection, &self.holder(), self.hub.now()).await?;
        *state = Lanes::default();
        self.owned.write().clear();
        Ok(())
    }
}
