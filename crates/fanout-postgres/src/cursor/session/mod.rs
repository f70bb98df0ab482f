//! A member's lanes.

mod claiming;
mod holding;
mod lanes;
mod settling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use fanout_core::{GroupIndex, Lane, Ordering, Result, Scope, Timestamp};
use parking_lot::RwLock;
use tokio::sync::Mutex;

use self::lanes::Lanes;
use super::hub::Hub;
use crate::counters::Counters;
use crate::storage::cursors::{self, Holder};

/// One member's lanes and what it has in hand of them.
#[derive(Debug)]
pub(crate) struct Session {
    hub: Arc<Hub>,
    scope: Scope,
    /// Its owner name is unique, so that nobody else's lease is taken for this session's.
    holder: Holder,
    counters: Arc<Counters>,
    /// One call at a time.
    state: Mutex<Lanes>,
    /// Epochs of the lanes owned, and when their leases end, for whoever looks for the owner of a receipt.
    owned: RwLock<BTreeMap<Lane, (i64, Timestamp)>>,
    /// The member was dropped: nobody fetches any more.
    abandoned: AtomicBool,
}

impl Session {
    pub(crate) fn new(hub: Arc<Hub>, scope: Scope, name: &str, counters: Arc<Counters>) -> Self {
        let tag: u64 = rand::RngExt::random(&mut rand::rng());
        let holder = Holder {
            subscription: scope.subscription,
            group: scope.group,
            owner: format!("{name}#{tag:016x}"),
            name: name.to_owned(),
        };
        Self {
            hub,
            scope,
            holder,
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

    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Relaxed)
    }

    /// Whether nothing can come of it any more: nobody fetches with it, and its leases have ended.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        let owned = self.owned.read();
        self.is_abandoned() && owned.values().all(|(_, expires_at)| *expires_at <= now)
    }

    const fn untracked(&self) -> bool {
        matches!(self.scope.options.ordering, Ordering::Unordered)
    }

    /// Longer than the leases of deliveries, so that it need not be renewed with each of them.
    fn term(&self, lease: Duration) -> Duration {
        lease + lease / 4
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
        cursors::let_go(connection, &self.holder, self.hub.now()).await?;
        *state = Lanes::default();
        self.owned.write().clear();
        Ok(())
    }
}
