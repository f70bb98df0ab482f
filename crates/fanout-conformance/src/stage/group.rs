//! A group of a topic, by a handle.

use std::sync::Arc;

use fanout_core::{
    BackendExt, DeadLetter, Delivery, GroupName, GroupStats, Member, MessageId, Result,
    Subscription, SubscriptionOptions,
};

use super::{LEASE, TestTopic, fetch, settle_all};

/// So many fetches in a row, with maintenance between, that return nothing: there is nothing.
const QUIET: usize = 3;
/// More rounds than a backlog could take to drain.
const MAX_ROUNDS: usize = 5000;

/// A group of a topic, by a handle.
#[derive(Clone, Debug)]
pub(crate) struct TestGroup {
    topic: TestTopic,
    name: GroupName,
}

impl TestGroup {
    pub(crate) fn new(topic: TestTopic, name: GroupName) -> Self {
        Self { topic, name }
    }

    pub(crate) fn name(&self) -> &GroupName {
        &self.name
    }

    pub(crate) async fn subscribe(&self, options: SubscriptionOptions) -> Result<Subscription> {
        let backend = &self.topic.scene().backend;
        backend
            .subscribe(self.topic.name(), &self.name, options.into())
            .await
    }

    pub(crate) async fn try_join(&self) -> Result<Arc<dyn Member>> {
        let backend = &self.topic.scene().backend;
        backend.join_group(self.topic.name(), &self.name).await
    }

    /// Joins as one more member.
    pub(crate) async fn member(&self) -> Arc<dyn Member> {
        self.try_join()
            .await
            .expect("a subscribed group can be joined")
    }

    pub(crate) async fn pause(&self) -> Result<Subscription> {
        let backend = &self.topic.scene().backend;
        backend.pause(self.topic.name(), &self.name).await
    }

    pub(crate) async fn resume(&self) -> Result<Subscription> {
        let backend = &self.topic.scene().backend;
        backend.resume(self.topic.name(), &self.name).await
    }

    pub(crate) async fn cancel(&self) -> Result<Subscription> {
        let backend = &self.topic.scene().backend;
        backend.cancel(self.topic.name(), &self.name).await
    }

    pub(crate) async fn heartbeat(&self) -> Result<Subscription> {
        let backend = &self.topic.scene().backend;
        backend.heartbeat(self.topic.name(), &self.name).await
    }

    pub(crate) async fn subscription(&self) -> Result<Subscription> {
        let backend = &self.topic.scene().backend;
        backend.subscription(self.topic.name(), &self.name).await
    }

    /// All that the group owes, read in pages.
    pub(crate) async fn pending(&self) -> Vec<MessageId> {
        const PAGE: usize = 100;
        let backend = &self.topic.scene().backend;
        let mut all = Vec::new();
        tokio::task::yield_now().await;
        loop {
            let after = all.last().copied().unwrap_or_default();
            let page = backend
                .pending(self.topic.name(), &self.name, after, PAGE)
                .await
                .expect("what a group owes can be read");
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    /// The group's figures.
    pub(crate) async fn stats(&self) -> GroupStats {
        let stats = self.topic.stats().await;
        stats
            .into_iter()
            .find(|stats| stats.group == self.name)
            .expect("every live group is among the figures")
    }

    pub(crate) async fn dead_letters(&self) -> Vec<DeadLetter> {
        let backend = &self.topic.scene().backend;
        backend
            .dead_letters(self.topic.name(), Some(&self.name), 1000)
            .await
            .expect("the dead letters of a group can be read")
    }

    /// Takes and settles, as a new member, all that can be had without moving the clock.
    pub(crate) async fn drain(&self) -> Vec<Delivery> {
        let member = self.member().await;
        let mut drained = Vec::new();
        let mut quiet = 0;
        for _ in 0..MAX_ROUNDS {
            let deliveries = fetch(&*member, 100).await;
            if deliveries.is_empty() {
                quiet += 1;
                if quiet == QUIET {
                    return drained;
                }
                self.topic.scene().maintain().await;
                continue;
            }
            quiet = 0;
            settle_all(&*member, &deliveries).await;
            drained.extend(deliveries);
        }
        panic!("a backlog drains within {MAX_ROUNDS} fetches");
    }

    /// Takes and settles all that the group owes, moving the clock past the leases of members that
    /// are gone.
    pub(crate) async fn drain_for_good(&self) -> Vec<Delivery> {
        let mut drained = Vec::new();
        for _ in 0..MAX_ROUNDS {
            drained.extend(self.drain().await);
            if self.pending().await.is_empty() {
                return drained;
            }
            self.topic.scene().advance(LEASE);
        }
        panic!(
            "a backlog drains once the leases of lost members have ended; still owed: {:?}",
            self.pending().await
        );
    }
}
