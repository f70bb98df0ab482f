//! A group of a topic, by a handle.

use std::sync::Arc;

use fanout_core::{
    BackendExt, DeadLetter, Delivery, GroupName, GroupStats, Member, MessageId, Result,
    StartPosition, Subscribe, Subscription, SubscriptionOptions,
};

use super::{Scene, TestTopic, fetch, nothing, settle_all};

/// So many fetches in a row, with maintenance between, that return nothing: there is nothing.
const QUIET: usize = 3;
/// The same while messages are owed: they may take several calls to be found.
const QUIET_WHILE_OWED: usize = 20;
/// More rounds than a backlog could take to drain.
const MAX_ROUNDS: usize = 5000;
/// More ends of leases than a backlog could have to wait for.
const MAX_LEASES: usize = 50;

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

    pub(crate) fn scene(&self) -> &Scene {
        self.topic.scene()
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

    /// Subscribes at this position.
    pub(crate) async fn start(
        &self,
        start: StartPosition,
        options: SubscriptionOptions,
    ) -> Result<Subscription> {
        let backend = &self.topic.scene().backend;
        let subscribe = Subscribe { start, options };
        backend
            .subscribe(self.topic.name(), &self.name, subscribe)
            .await
    }

    /// Moves the group to this position.
    pub(crate) async fn seek(&self, to: StartPosition) -> Result<Subscription> {
        let backend = &self.topic.scene().backend;
        backend.seek(self.topic.name(), &self.name, to).await
    }

    pub(crate) async fn try_join(&self) -> Result<Arc<dyn Member>> {
        let backend = &self.topic.scene().backend;
        backend.join_group(self.topic.name(), &self.name).await
    }

    /// Joins as one more member.
    pub(crate) async fn member(&self) -> Arc<dyn Member> {
        let joined = if self.name == GroupName::queue() {
            let backend = &self.topic.scene().backend;
            backend.join_queue(self.topic.name()).await
        } else {
            self.try_join().await
        };
        joined.expect("a subscribed group can be joined")
    }

    /// Joins as `n` more members.
    pub(crate) async fn members(&self, n: usize) -> Vec<Arc<dyn Member>> {
        let mut members = Vec::with_capacity(n);
        for _ in 0..n {
            members.push(self.member().await);
        }
        members
    }

    /// Asserts, as a new member, that nothing is to be had.
    pub(crate) async fn nothing(&self, promise: &str) {
        let member = self.member().await;
        nothing(&*member, promise).await;
        leave(&*member).await;
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
    ///
    /// That is all that is due only where no other member is left, which would have its share.
    pub(crate) async fn drain(&self) -> Vec<Delivery> {
        let member = self.member().await;
        let drained = self.drain_by(&*member).await;
        leave(&*member).await;
        drained
    }

    /// As [`drain`](Self::drain), as this member.
    pub(crate) async fn drain_by(&self, member: &dyn Member) -> Vec<Delivery> {
        let mut drained = Vec::new();
        let mut quiet = 0;
        for _ in 0..MAX_ROUNDS {
            let deliveries = fetch(member, 100).await;
            if deliveries.is_empty() {
                quiet += 1;
                if quiet >= QUIET && (quiet >= QUIET_WHILE_OWED || !self.owes().await) {
                    return drained;
                }
                self.topic.scene().maintain().await;
                continue;
            }
            quiet = 0;
            settle_all(member, &deliveries).await;
            drained.extend(deliveries);
        }
        panic!("a backlog drains within {MAX_ROUNDS} fetches");
    }

    /// Takes and settles all that the group owes, moving the clock past the leases of members that
    /// are gone.
    pub(crate) async fn drain_for_good(&self) -> Vec<Delivery> {
        let mut drained = Vec::new();
        for _ in 0..MAX_LEASES {
            drained.extend(self.drain().await);
            if !self.owes().await {
                return drained;
            }
            self.topic.scene().lapse();
        }
        panic!(
            "a backlog drains once the leases of lost members have ended; still owed: {:?}",
            self.pending().await
        );
    }

    /// Whether the group owes anything.
    async fn owes(&self) -> bool {
        let backend = &self.topic.scene().backend;
        let first = backend
            .pending(self.topic.name(), &self.name, MessageId(0), 1)
            .await;
        !first.expect("what a group owes can be read").is_empty()
    }
}

/// So that nobody has to wait for the end of its leases.
async fn leave(member: &dyn Member) {
    member.leave().await.expect("a member can leave");
}
