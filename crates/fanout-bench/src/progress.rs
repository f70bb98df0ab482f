//! How far publishers and groups are.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;

/// Counts that all tasks of a run share.
#[derive(Debug)]
pub(crate) struct Progress {
    offered: AtomicU64,
    published: AtomicU64,
    groups: Vec<Group>,
    /// Wakes publishers that wait for the groups.
    settled: Notify,
    /// How many messages there are, once publishers have ended.
    total: OnceLock<u64>,
}

#[derive(Debug, Default)]
struct Group {
    delivered: AtomicU64,
    settled: AtomicU64,
}

impl Progress {
    pub(crate) fn new(groups: u32) -> Self {
        Self {
            offered: AtomicU64::new(0),
            published: AtomicU64::new(0),
            groups: (0..groups).map(|_| Group::default()).collect(),
            settled: Notify::new(),
            total: OnceLock::new(),
        }
    }

    /// Before a publish: so that what is under way counts as ahead of the groups.
    pub(crate) fn offer(&self, messages: u64) {
        self.offered.fetch_add(messages, Relaxed);
    }

    pub(crate) fn publish(&self, messages: u64) {
        self.published.fetch_add(messages, Relaxed);
    }

    pub(crate) fn deliver(&self, group: usize, messages: usize) {
        self.groups[group]
            .delivered
            .fetch_add(messages as u64, Relaxed);
    }

    pub(crate) fn settle(&self, group: usize, messages: usize) {
        self.groups[group]
            .settled
            .fetch_add(messages as u64, Relaxed);
        self.settled.notify_waiters();
    }

    pub(crate) fn published(&self) -> u64 {
        self.published.load(Relaxed)
    }

    /// Deliveries over all groups.
    pub(crate) fn delivered(&self) -> u64 {
        self.groups
            .iter()
            .map(|group| group.delivered.load(Relaxed))
            .sum()
    }

    /// Settlements over all groups.
    pub(crate) fn settled(&self) -> u64 {
        self.groups
            .iter()
            .map(|group| group.settled.load(Relaxed))
            .sum()
    }

    /// Messages that the slowest group has settled.
    pub(crate) fn settled_by_all(&self) -> u64 {
        self.groups
            .iter()
            .map(|group| group.settled.load(Relaxed))
            .min()
            .unwrap_or(0)
    }

    /// Waits until publishers are fewer than `limit` messages ahead of the slowest group.
    pub(crate) async fn within(&self, limit: u32) {
        loop {
            let settled = self.settled.notified();
            if self
                .offered
                .load(Relaxed)
                .saturating_sub(self.settled_by_all())
                < u64::from(limit)
            {
                return;
            }
            settled.await;
        }
    }

    /// Publishers have ended: what was published is all there is.
    pub(crate) fn end(&self) {
        self.total.get_or_init(|| self.published());
    }

    /// Whether the group has settled all there is.
    pub(crate) fn is_through(&self, group: usize) -> bool {
        self.total
            .get()
            .is_some_and(|total| self.groups[group].settled.load(Relaxed) >= *total)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn publishers_wait_for_the_slowest_group() {
        let progress = Arc::new(Progress::new(2));
        progress.within(10).await;
        progress.offer(10);
        let waiting = tokio::spawn({
            let progress = progress.clone();
            async move { progress.within(10).await }
        });
        progress.settle(0, 10);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        progress.settle(1, 1);
        waiting.await.unwrap();
    }

    #[test]
    fn a_group_is_through_once_publishers_have_ended() {
        let progress = Progress::new(1);
        progress.publish(2);
        progress.settle(0, 2);
        assert!(!progress.is_through(0));
        progress.end();
        assert!(progress.is_through(0));
    }
}
