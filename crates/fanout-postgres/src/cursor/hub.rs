//! What the groups of a topic that are consumed through one engine handle do together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{
    Clock, GroupIndex, Lane, Result, Snapshot, SubscriptionId, SubscriptionStatus, Timestamp,
    TopicId,
};
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::time::Instant;

use super::batcher::Batcher;
use super::block::{Block, Page};
use super::session::Session;
use super::span_cache::{SpanCache, SpanCacheStats};
use super::tick::Tick;
use crate::error::ResultExt;
use crate::pool::Pool;
use crate::storage::cursor_commits::{self, Commit, CursorUpdate};
use crate::storage::{log, ticks, watermarks};

/// The shortest time between ticks, and between looks of members that have nothing to deliver.
const SHORTEST_PACE: Duration = Duration::from_millis(5);
const SHORTEST_IDLE: Duration = Duration::from_millis(1);
/// How long to pause for each cursor that a round moves beyond the first few, so that what cursors cost
/// the database stays about the same however many groups are consumed here.
const PACE_PER_CURSOR: Duration = Duration::from_micros(300);
const FREE_CURSORS: usize = 32;
const LONGEST_PACE: Duration = Duration::from_millis(250);

/// A member asks where its subscription stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookRequest {
    pub(crate) subscription: SubscriptionId,
    /// Up to which id its group is known to owe no tracked message.
    pub(crate) floor: i64,
}

/// Where a subscription stood at a moment.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) moment: Timestamp,
    /// When the server was started: another time is another server, or the same after a crash.
    pub(crate) server: Timestamp,
    /// The newest tick; none when the topic is gone.
    pub(crate) newest: Option<Tick>,
    /// Whether new messages of the topic are tracked.
    pub(crate) tracks: bool,
    pub(crate) status: SubscriptionStatus,
    /// The group's bit, which a seek changes.
    pub(crate) group: i16,
    pub(crate) caught_up: bool,
    /// The group has tracking rows, due or not.
    pub(crate) tracked: bool,
    /// Settlements of callers' transactions wait to be folded into tracking rows.
    pub(crate) folding: bool,
    /// The same for cursors.
    pub(crate) lanes_folding: bool,
    /// Live members of the group.
    pub(crate) members: usize,
    /// Lanes of the group that nobody owns.
    pub(crate) free_lanes: usize,
}

/// Shared by all members of a topic's groups that are consumed through one engine handle.
#[derive(Debug)]
pub(crate) struct Hub {
    topic: TopicId,
    pool: Pool,
    clock: Option<Arc<dyn Clock>>,
    looks: Arc<Batcher<LookRequest, Look>>,
    commits: Arc<Batcher<Vec<Commit>, Committed>>,
    cache: SpanCache,
    newest: RwLock<Option<Tick>>,
    /// The start of the server that all of this was read from, in microseconds.
    server: AtomicI64,
    /// The time of the last look, in microseconds.
    moment: AtomicI64,
    /// How many cursors the last round of commits moved.
    load: Arc<AtomicUsize>,
    last_tick: Mutex<Option<Instant>>,
    upkeep: Mutex<Upkeep>,
    /// Somebody settles in transactions here, so sessions must look for what has committed.
    transactional: AtomicBool,
    sessions: Mutex<Vec<Arc<Session>>>,
}

/// What became of a commit: whether each cursor moved, and when.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub(crate) moment: Timestamp,
    pub(crate) moved: Vec<bool>,
}

impl Hub {
    pub(crate) fn new(
        topic: TopicId,
        pool: Pool,
        clock: Option<Arc<dyn Clock>>,
        cache_bytes: usize,
    ) -> Self {
        Self {
            topic,
            pool,
            clock,
            looks: Arc::default(),
            commits: Arc::default(),
            cache: SpanCache::new(cache_bytes),
            newest: RwLock::default(),
            server: AtomicI64::new(i64::MIN),
            moment: AtomicI64::new(i64::MIN),
            load: Arc::default(),
            last_tick: Mutex::default(),
            upkeep: Mutex::default(),
            transactional: AtomicBool::new(false),
            sessions: Mutex::default(),
        }
    }

    pub(crate) const fn topic(&self) -> TopicId {
        self.topic
    }

    pub(crate) const fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn now(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    /// The newest tick that is known here.
    pub(crate) fn newest(&self) -> i64 {
        self.newest.read().as_ref().map_or(0, |tick| tick.number)
    }

    /// The time of the last look.
    pub(crate) fn moment(&self) -> Timestamp {
        Timestamp::from_micros(self.moment.load(Relaxed))
    }

    fn saw(&self, tick: Option<Tick>) {
        let Some(tick) = tick else {
            return;
        };
        let mut newest = self.newest.write();
        if newest.as_ref().is_none_or(|old| old.number < tick.number) {
            *newest = Some(tick);
        }
    }

    pub(crate) fn cache_stats(&self) -> SpanCacheStats {
        self.cache.stats()
    }

    /// Reads where a subscription stands, not earlier than now. Members that have nothing to deliver wait
    /// for the next round.
    pub(crate) async fn look(&self, request: LookRequest, urgent: bool) -> Result<Look> {
        let (topic, pool, clock) = (self.topic, self.pool.clone(), self.clock.clone());
        let load = self.load.clone();
        let pace = move || pace(&load, SHORTEST_IDLE);
        let round =
            move |requests: Vec<LookRequest>| -> futures_util::future::BoxFuture<'static, _> {
                let (pool, now) = (pool.clone(), clock.as_ref().map(|clock| clock.now()));
                Box::pin(async move {
                    ticks::look(&mut *pool.get().await?, topic, &requests, now).await
                })
            };
        let look = self.looks.call(request, urgent, pace, round).await?;
        let server = look.server.as_micros();
        let before = self.server.swap(server, Relaxed);
        if before != server {
            self.cache.clear();
            *self.newest.write() = None;
        }
        self.moment.store(look.moment.as_micros(), Relaxed);
        self.saw(look.newest.clone());
        Ok(look)
    }

    /// Notes that deliveries are settled in callers' transactions.
    pub(crate) fn settle_in_transactions(&self) {
        self.transactional.store(true, Relaxed);
    }

    /// Whether that has happened.
    pub(crate) fn settles_in_transactions(&self) -> bool {
        self.transactional.load(Relaxed)
    }

    /// Commits cursors together with those of other members, if the server is still the one that was started
    /// at this time.
    pub(crate) async fn commit(
        &self,
        server: Option<Timestamp>,
        updates: Vec<CursorUpdate>,
    ) -> Result<Committed> {
        let (topic, pool, clock) = (self.topic, self.pool.clone(), self.clock.clone());
        let load = self.load.clone();
        let round =
            move |requests: Vec<Vec<Commit>>| -> futures_util::future::BoxFuture<'static, _> {
                let (pool, load) = (pool.clone(), load.clone());
                let now = clock.as_ref().map(|clock| clock.now());
                Box::pin(async move {
                    let sizes: Vec<usize> = requests.iter().map(Vec::len).collect();
                    let commits: Vec<Commit> = requests.into_iter().flatten().collect();
                    load.store(commits.len(), Relaxed);
                    let connection = &mut *pool.get().await?;
                    let (moment, moved) =
                        cursor_commits::commit(connection, topic, &commits, now).await?;
                    let mut moved = moved.into_iter();
                    Ok(sizes
                        .into_iter()
                        .map(|size| Committed {
                            moment,
                            moved: moved.by_ref().take(size).collect(),
                        })
                        .collect())
                })
            };
        let commits = updates.into_iter().map(|update| (server, update)).collect();
        self.commits
            .call(commits, true, || Duration::ZERO, round)
            .await
    }

    /// Takes a tick if one is due; returns the newest.
    pub(crate) async fn tick(&self) -> Result<i64> {
        let pace = pace(&self.load, SHORTEST_PACE);
        {
            let mut last = self.last_tick.lock();
            let now = Instant::now();
            if last.is_some_and(|last| now - last < pace) {
                return Ok(self.newest());
            }
            *last = Some(now);
        }
        let connection = &mut *self.pool.get().await?;
        let ticked = ticks::tick(connection, self.topic, false, SHORTEST_PACE).await?;
        self.saw(ticked.newest);
        if ticked.taken {
            self.keep_up();
        }
        Ok(self.newest())
    }

    /// Whoever ticks looks after what ticks need: the id up to which all is decided, leaves ahead of the
    /// sequence, and that ticks which nobody needs go. In a task of its own: messages wait for this call.
    fn keep_up(&self) {
        let now = Instant::now();
        let merge = {
            let mut upkeep = self.upkeep.lock();
            if upkeep.next.is_some_and(|next| now < next) {
                return;
            }
            upkeep.next = Some(now + UPKEEP_EVERY);
            upkeep.rounds += 1;
            upkeep.rounds.is_multiple_of(MERGE_EVERY)
        };
        let (topic, pool) = (self.topic, self.pool.clone());
        tokio::spawn(async move {
            if let Err(error) = keep_up(&pool, topic, merge).await {
                tracing::warn!(topic_id = %topic, %error, "upkeep of ticks failed");
            }
        });
    }

    /// The span for a cursor that stands at `tick`: one that others read already, or up to the newest
    /// tick. None when there is nothing newer. Spans that end before tick `oldest` are left alone.
    pub(crate) fn span_after(
        &self,
        tick: &Tick,
        oldest: i64,
        untracked: bool,
    ) -> Option<Arc<Block>> {
        if let Some(block) = self.cache.find(tick, oldest, untracked) {
            return Some(block);
        }
        let newest = self.newest.read().clone();
        let reaches = |newest: &Tick| tick.number < newest.number && oldest <= newest.number;
        newest
            .filter(reaches)
            .map(|newest| self.cache.exactly(tick, &newest, untracked))
    }

    /// The span between two ticks.
    pub(crate) fn span(&self, from: &Tick, through: &Tick, untracked: bool) -> Arc<Block> {
        self.cache.exactly(from, through, untracked)
    }

    /// Rows of lanes of a span above their ids, up to `limit` each, read from the database where nobody
    /// here has read them. None when a tick is gone.
    pub(crate) async fn rows(
        &self,
        block: &Block,
        wanted: &[(Lane, i64)],
        limit: usize,
    ) -> Result<Option<Vec<Page>>> {
        let cached = |(lane, after): &(Lane, i64)| block.rows(*lane, *after, limit);
        let mut pages: Vec<Option<Page>> = wanted.iter().map(cached).collect();
        if pages.iter().any(Option::is_none) {
            let _reading = block.reading.lock().await;
            // Another member may have read them meanwhile.
            for (page, want) in pages.iter_mut().zip(wanted) {
                *page = page.take().or_else(|| cached(want));
            }
            let missing: Vec<(Lane, i64)> = wanted
                .iter()
                .zip(&pages)
                .filter(|(_, page)| page.is_none())
                .map(|((lane, after), _)| (*lane, block.read_after(*lane, *after)))
                .collect();
            if !missing.is_empty() {
                let Some(mut read) = self.read(block, &missing, limit).await? else {
                    return Ok(None);
                };
                for (page, (lane, _)) in pages.iter_mut().zip(wanted) {
                    if page.is_none() {
                        *page = read.remove(lane);
                    }
                }
            }
        }
        let pages: Vec<Page> = pages.into_iter().map(Option::unwrap_or_default).collect();
        self.cache
            .served(pages.iter().map(|page| page.rows.len()).sum());
        Ok(Some(pages))
    }

    async fn read(
        &self,
        block: &Block,
        lanes: &[(Lane, i64)],
        limit: usize,
    ) -> Result<Option<HashMap<Lane, Page>>> {
        let connection = &mut *self.pool.get().await?;
        let read = ticks::read(
            connection,
            self.topic,
            &block.from,
            block.through.number,
            lanes,
            limit,
            block.untracked,
        );
        let Some(rows) = read.await? else {
            return Ok(None);
        };
        self.cache.read(rows.len());
        let mut pages: HashMap<Lane, Page> = lanes
            .iter()
            .map(|(lane, _)| (*lane, Page::default()))
            .collect();
        for row in rows {
            if let Some(page) = pages.get_mut(&row.lane) {
                page.rows.push(Arc::new(row));
            }
        }
        let mut grown = 0;
        for (lane, after) in lanes {
            if let Some(page) = pages.get_mut(lane) {
                page.complete = page.rows.len() < limit;
                grown += block.keep(*lane, *after, page);
            }
        }
        self.cache.grew(grown);
        Ok(Some(pages))
    }

    /// Snapshots of ticks, to find out whether they are still what they were.
    pub(crate) async fn snapshots(&self, numbers: &[i64]) -> Result<Vec<(i64, Snapshot)>> {
        ticks::snapshots(&mut *self.pool.get().await?, self.topic, numbers).await
    }

    /// The sessions without those that nobody can ask for any more.
    fn present_sessions(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        let now = self.moment();
        let mut sessions = self.sessions.lock();
        sessions.retain(|session| !session.is_over(now));
        sessions
    }

    /// Makes a session's receipts known to the other members of its group.
    pub(crate) fn enter(&self, session: Arc<Session>) {
        self.present_sessions().push(session);
    }

    /// Forgets a session that has left.
    pub(crate) fn forget(&self, session: &Arc<Session>) {
        self.sessions
            .lock()
            .retain(|other| !Arc::ptr_eq(other, session));
    }

    /// Forgets all sessions.
    pub(crate) fn forget_all(&self) {
        self.sessions.lock().clear();
    }

    /// A member was dropped: with the last one that fetches goes the cache.
    pub(crate) fn tidy(&self) {
        let sessions = self.present_sessions();
        if sessions.iter().all(|session| session.is_abandoned()) {
            self.cache.clear();
        }
    }

    /// The session that owns a group's lane at this epoch, members that were dropped included.
    pub(crate) fn owner(&self, group: GroupIndex, lane: Lane, epoch: i64) -> Option<Arc<Session>> {
        let sessions = self.sessions.lock();
        sessions
            .iter()
            .find(|session| session.owns(group, lane, epoch))
            .cloned()
    }

    /// How many messages members of a group have in hand.
    pub(crate) async fn in_hand(&self, group: GroupIndex, now: Timestamp) -> Result<usize> {
        let sessions = self.sessions.lock().clone();
        let mut in_hand = 0;
        for session in sessions.iter().filter(|session| session.group() == group) {
            in_hand += session.in_hand(now).await?;
        }
        Ok(in_hand)
    }
}

/// How often a ticking consumer looks after the decided id and the leaves.
const UPKEEP_EVERY: Duration = Duration::from_millis(250);
/// After how many of these rounds it merges ticks.
const MERGE_EVERY: u64 = 20;
/// Most ticks merged by one statement.
const MERGE_BATCH: i32 = 2000;

#[derive(Debug, Default)]
struct Upkeep {
    next: Option<Instant>,
    rounds: u64,
}

async fn keep_up(pool: &Pool, topic: TopicId, merge: bool) -> Result<()> {
    let connection = &mut *pool.get().await?;
    watermarks::decide(connection, topic).await?;
    log::ensure_leaves(connection, topic).await.committing()?;
    if merge {
        watermarks::merge_ticks(connection, topic, MERGE_BATCH).await?;
    }
    Ok(())
}

fn pace(load: &AtomicUsize, shortest: Duration) -> Duration {
    let cursors = load.load(Relaxed).saturating_sub(FREE_CURSORS);
    let cursors = u32::try_from(cursors).unwrap_or(u32::MAX);
    PACE_PER_CURSOR
        .saturating_mul(cursors)
        .clamp(shortest, LONGEST_PACE)
}
