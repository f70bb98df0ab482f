//! What became of messages, as the workers of groups saw it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use fanout_core::{Delivery, MessageId, Outcome, ReceiptForm};
use parking_lot::Mutex;
use tokio::sync::watch;

/// What became of a message in a group. Stamps grow with time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fate {
    pub(crate) first_delivered: u64,
    pub(crate) deliveries: u32,
    /// When the call began that settled or parked it.
    pub(crate) left_order: Option<u64>,
    /// When the call ended that settled it.
    pub(crate) settled: Option<u64>,
    /// How many settlements of it took effect.
    pub(crate) settlements: u32,
    pub(crate) failures: u32,
    /// How often it was given back by itself.
    pub(crate) releases: u32,
    pub(crate) read_by_cursor: bool,
}

/// Of all groups of a test.
#[derive(Debug)]
pub(crate) struct Ledger {
    stamps: AtomicU64,
    groups: Mutex<HashMap<String, BTreeMap<MessageId, Fate>>>,
    /// Messages that were delivered, and that were settled, each counted once per group.
    progress: watch::Sender<(usize, usize)>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            stamps: AtomicU64::new(1),
            groups: Mutex::default(),
            progress: watch::Sender::new((0, 0)),
        }
    }
}

impl Ledger {
    pub(crate) fn stamp(&self) -> u64 {
        self.stamps.fetch_add(1, Relaxed)
    }

    /// Before anything is said of the deliveries.
    pub(crate) fn delivered(&self, group: &str, deliveries: &[Delivery]) {
        let mut groups = self.groups.lock();
        let fates = groups.entry(group.to_owned()).or_default();
        let mut first = 0;
        for delivery in deliveries {
            let stamp = self.stamp();
            let fate = fates.entry(delivery.message.id).or_default();
            fate.deliveries += 1;
            if fate.deliveries == 1 {
                fate.first_delivered = stamp;
                fate.read_by_cursor = matches!(delivery.receipt.form(), ReceiptForm::Cursor(_));
                first += 1;
            }
        }
        drop(groups);
        self.progress.send_modify(|progress| progress.0 += first);
    }

    /// After a call that began at `began`; `parks` tells whether a failure parks.
    pub(crate) fn settled(
        &self,
        group: &str,
        began: u64,
        parks: bool,
        outcomes: impl IntoIterator<Item = (MessageId, Outcome)>,
    ) {
        let ended = self.stamp();
        let mut groups = self.groups.lock();
        let fates = groups.entry(group.to_owned()).or_default();
        let mut first = 0;
        for (id, outcome) in outcomes {
            let fate = fates.entry(id).or_default();
            match outcome {
                Outcome::Applied | Outcome::DeadLettered => {
                    fate.settlements += 1;
                    if fate.settlements == 1 {
                        fate.settled = Some(ended);
                        fate.left_order.get_or_insert(began);
                        first += 1;
                    }
                }
                Outcome::Retry { .. } => {
                    fate.failures += 1;
                    if parks {
                        fate.left_order.get_or_insert(began);
                    }
                }
                Outcome::Stale | Outcome::Fenced | Outcome::OutOfOrder => {}
            }
        }
        drop(groups);
        self.progress.send_modify(|progress| progress.1 += first);
    }

    /// After messages were given back.
    pub(crate) fn released(&self, group: &str, ids: impl IntoIterator<Item = MessageId>) {
        let mut groups = self.groups.lock();
        let fates = groups.entry(group.to_owned()).or_default();
        for id in ids {
            fates.entry(id).or_default().releases += 1;
        }
    }

    pub(crate) fn fates(&self, group: &str) -> BTreeMap<MessageId, Fate> {
        self.groups.lock().get(group).cloned().unwrap_or_default()
    }

    /// How many messages were delivered so far, each counted once per group.
    pub(crate) fn delivered_so_far(&self) -> usize {
        self.progress.borrow().0
    }

    /// Waits until this many messages were delivered, each counted once per group.
    pub(crate) async fn until_delivered(&self, messages: usize) {
        let mut progress = self.progress.subscribe();
        let _ = progress.wait_for(|(seen, _)| *seen >= messages).await;
    }

    /// Waits until this many messages were settled, each counted once per group.
    pub(crate) async fn until_settled(&self, messages: usize) {
        let mut progress = self.progress.subscribe();
        let _ = progress.wait_for(|(_, settled)| *settled >= messages).await;
    }
}
