//! What a member session does beside claiming.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use fanout_core::{Error, Result, Scope, Timestamp};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::ResultExt;
use crate::floor::{Floor, Question};
use crate::reference_counting::BATCH;
use crate::storage::{log, settlements, subscriptions, tracking};

/// How often a session looks after the floor of its claims and the leaves ahead.
const UPKEEP_INTERVAL: Duration = Duration::from_millis(500);
/// After how many new ids a session looks whether leaves are needed.
const LEAF_CHECK_IDS: i64 = 250_000;

/// Folds what callers' transactions settled, catches up, raises the floor of the claims, and makes
/// leaves ahead of need.
#[derive(Debug, Default)]
pub(crate) struct ClaimUpkeep(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    floor: Floor,
    done_at: Option<Instant>,
    leaves_checked_at: Option<i64>,
}

impl ClaimUpkeep {
    /// An id up to which the group owes nothing and never will.
    pub(crate) fn floor(&self) -> i64 {
        self.0.lock().floor.value()
    }

    /// What a claim found to be done. Failures are left to the next claim and to maintenance: the
    /// messages that were just leased must reach the consumer.
    pub(crate) async fn after(
        &self,
        connection: &mut AsyncPgConnection,
        scope: &Scope,
        claim: &tracking::Claim,
        now: Option<Timestamp>,
    ) {
        let result = async {
            if claim.unfolded {
                settlements::fold(connection, scope.subscription, BATCH, now).await?;
            }
            if claim.catching_up {
                subscriptions::catch_up(connection, scope.subscription).await?;
            } else if self.is_due() {
                self.raise_floor(connection, scope).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = result.await {
            tracing::warn!(topic = %scope.topic_name, %error, "upkeep after a claim failed");
        }
    }

    fn is_due(&self) -> bool {
        let mut upkeep = self.0.lock();
        let now = Instant::now();
        let due = upkeep
            .done_at
            .is_none_or(|last| now - last >= UPKEEP_INTERVAL);
        if due {
            upkeep.done_at = Some(now);
        }
        due
    }

    /// Two steps at most: who publishes, and if that decided an id, what is owed above the floor.
    async fn raise_floor(&self, connection: &mut AsyncPgConnection, scope: &Scope) -> Result<()> {
        for _ in 0..2 {
            let question = self.0.lock().floor.question();
            match question {
                Question::Publishers(awaited) => {
                    let seen =
                        tracking::observe_publishers(connection, scope.topic, &awaited).await?;
                    let drawn = seen.drawn;
                    self.0
                        .lock()
                        .floor
                        .publishers(drawn, seen.open, seen.remaining);
                    self.ensure_leaves(connection, scope, drawn).await?;
                }
                Question::LowestOwed(floor) => {
                    let lowest =
                        tracking::lowest_owed(connection, scope.topic, scope.group, floor).await?;
                    self.0.lock().floor.lowest_owed(lowest);
                }
            }
        }
        Ok(())
    }

    async fn ensure_leaves(
        &self,
        connection: &mut AsyncPgConnection,
        scope: &Scope,
        drawn: i64,
    ) -> Result<()> {
        let due = {
            let mut upkeep = self.0.lock();
            let due = upkeep
                .leaves_checked_at
                .is_none_or(|last| drawn - last >= LEAF_CHECK_IDS);
            if due {
                upkeep.leaves_checked_at = Some(drawn);
            }
            due
        };
        if due {
            log::ensure_leaves(connection, scope.topic)
                .await
                .committing()?;
        }
        Ok(())
    }
}
