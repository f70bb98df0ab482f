//! What a member session does beside claiming.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use fanout_core::{Error, Result, Scope, Timestamp};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::error::ResultExt;
use crate::floor::{Floor, Question};
use crate::reference_counting::BATCH;
use crate::storage::tracking::Claim;
use crate::storage::{beginnings, log, settlements, tracking};

/// How often a session looks after the floor of its claims and the leaves ahead.
const INTERVAL: Duration = Duration::from_millis(500);
/// After how many new ids a session looks whether leaves are needed.
const LEAF_CHECK_IDS: i64 = 250_000;

/// Folds what callers' transactions settled, catches up, raises the floor of the claims, and makes
/// leaves ahead of need.
///
/// It runs while nothing is in hand: before a claim, for what the last one found, or after one that
/// found no message. A message that was just leased must reach the consumer.
#[derive(Debug, Default)]
pub(crate) struct ClaimUpkeep {
    floor: AtomicI64,
    /// New messages of the topic are not tracked.
    untracked: AtomicBool,
    unfolded: AtomicBool,
    catching_up: AtomicBool,
    /// A claim has seen that the subscription has caught up, which is for good.
    caught_up: AtomicBool,
    /// One call at a time does the upkeep: an answer must meet the state that asked for it.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    floor: Floor,
    done_at: Option<Instant>,
    leaves_checked_at: Option<i64>,
}

impl ClaimUpkeep {
    /// An id up to which the group owes nothing and never will.
    pub(crate) fn floor(&self) -> i64 {
        self.floor.load(Relaxed)
    }

    /// Whether the last claim saw that new messages of the topic are tracked.
    pub(crate) fn tracks(&self) -> bool {
        !self.untracked.load(Relaxed)
    }

    /// Notes what a claim found to be done.
    pub(crate) fn note(&self, claim: &Claim) {
        self.untracked.store(!claim.tracks, Relaxed);
        self.unfolded.store(claim.unfolded, Relaxed);
        self.catching_up.store(claim.catching_up, Relaxed);
        self.caught_up.fetch_or(!claim.catching_up, Relaxed);
    }

    /// Does what is due. Failures are left to the next call and to maintenance.
    pub(crate) async fn run(
        &self,
        connection: &mut AsyncPgConnection,
        scope: &Scope,
        now: Option<Timestamp>,
    ) {
        let Ok(mut state) = self.state.try_lock() else {
            return;
        };
        if let Err(error) = self.try_run(&mut state, connection, scope, now).await {
            tracing::warn!(topic = %scope.topic_name, %error, "upkeep of a member failed");
        }
    }

    async fn try_run(
        &self,
        state: &mut State,
        connection: &mut AsyncPgConnection,
        scope: &Scope,
        now: Option<Timestamp>,
    ) -> Result<()> {
        if self.unfolded.swap(false, Relaxed) {
            settlements::fold(connection, scope.topic, scope.group, BATCH, now).await?;
        }
        if self.catching_up.swap(false, Relaxed) {
            beginnings::catch_up(connection, scope.subscription, BATCH).await?;
        }
        if !self.caught_up.load(Relaxed) {
            // What is being caught up with may lie below a floor of now.
            return Ok(());
        }
        let moment = Instant::now();
        if state.done_at.is_some_and(|last| moment - last < INTERVAL) {
            return Ok(());
        }
        state.done_at = Some(moment);
        self.raise_floor(state, connection, scope).await
    }

    /// Two steps at most: who publishes, and if that decided an id, what is owed above the floor.
    async fn raise_floor(
        &self,
        state: &mut State,
        connection: &mut AsyncPgConnection,
        scope: &Scope,
    ) -> Result<()> {
        for _ in 0..2 {
            match state.floor.question() {
                Question::Publishers(awaited) => {
                    let seen =
                        tracking::observe_publishers(connection, scope.topic, &awaited).await?;
                    let drawn = seen.drawn;
                    state.floor.publishers(seen);
                    self.floor.store(state.floor.value(), Relaxed);
                    if state
                        .leaves_checked_at
                        .is_none_or(|last| drawn - last >= LEAF_CHECK_IDS)
                    {
                        log::ensure_leaves(connection, scope.topic)
                            .await
                            .committing()?;
                        state.leaves_checked_at = Some(drawn);
                    }
                }
                Question::LowestOwed(floor) => {
                    let lowest =
                        tracking::lowest_owed(connection, scope.topic, scope.group, floor).await?;
                    state.floor.lowest_owed(lowest);
                    self.floor.store(state.floor.value(), Relaxed);
                }
            }
        }
        Ok::<_, Error>(())
    }
}
