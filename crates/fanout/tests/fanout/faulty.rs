//! An engine whose calls fail on demand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use fanout::{
    Backend, CompletionMode, DeadLetter, DeleteTopic, Error, ErrorKind, Extension, Fetched,
    GroupName, GroupRemaining, GroupStats, JoinOptions, MaintenanceReport, Member, MemberCounters,
    MemberName, MemoryBackend, MessageAccounting, MessageId, NewMessage, Outcome, Receipt, Result,
    Settlement, StartPosition, Subscribe, Subscription, Topic, TopicConfig, TopicName, TopicUpdate,
    Watermark,
};

/// Calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Join,
    Fetch,
    Settle,
    Extend,
    Heartbeat,
    Leave,
    Maintain,
    Remaining,
}

/// What is to fail, and how, and which answers come late.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    planned: Arc<Mutex<HashMap<Call, Vec<ErrorKind>>>>,
    delays: Arc<Mutex<HashMap<Call, Duration>>>,
    /// Held by calls of members, where an engine does one at a time.
    turn: Arc<Mutex<Option<Arc<tokio::sync::Mutex<()>>>>>,
}

impl Faults {
    /// Lets the next calls fail, each with one of these.
    pub(crate) fn plan(&self, call: Call, kinds: &[ErrorKind]) {
        self.planned
            .lock()
            .unwrap()
            .entry(call)
            .or_default()
            .extend(kinds.iter().rev());
    }

    /// Whether all that was planned has happened.
    pub(crate) fn are_spent(&self) -> bool {
        let planned = self.planned.lock().unwrap();
        planned.values().all(Vec::is_empty)
    }

    /// Lets all answers of a call come so much after it was done.
    pub(crate) fn delay(&self, call: Call, by: Duration) {
        self.delays.lock().unwrap().insert(call, by);
    }

    /// Lets the engine do one call of its members at a time, as one does that keeps what is in hand in
    /// memory.
    pub(crate) fn one_at_a_time(&self) {
        *self.turn.lock().unwrap() = Some(Arc::default());
    }

    fn next(&self, call: Call) -> Option<ErrorKind> {
        self.planned.lock().unwrap().get_mut(&call)?.pop()
    }

    /// Does `work`, unless it is to fail. An outcome that is to be unknown is that of work that
    /// was done.
    async fn around<T>(&self, call: Call, work: impl Future<Output = Result<T>>) -> Result<T> {
        let turn = self.turn.lock().unwrap().clone();
        let _turn = match &turn {
            Some(turn) if call != Call::Heartbeat => Some(turn.lock().await),
            _ => None,
        };
        let Some(kind) = self.next(call) else {
            let done = work.await;
            let delay = self.delays.lock().unwrap().get(&call).copied();
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            return done;
        };
        if kind == ErrorKind::Unknown {
            work.await?;
        }
        Err(Error::new(kind, format!("planned call=`{call:?}`")))
    }
}

#[derive(Debug)]
pub(crate) struct Faulty {
    pub(crate) inner: MemoryBackend,
    pub(crate) faults: Faults,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Backend for Faulty {
    async fn create_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<Topic> {
        self.inner.create_topic(topic, config).await
    }

    async fn update_topic(&self, topic: &TopicName, update: TopicUpdate) -> Result<Topic> {
        self.inner.update_topic(topic, update).await
    }

    async fn migrate_topic(&self, topic: &TopicName, mode: CompletionMode) -> Result<Topic> {
        self.inner.migrate_topic(topic, mode).await
    }

    async fn remaining(
        &self,
        topic: &TopicName,
        mode: CompletionMode,
    ) -> Result<Vec<GroupRemaining>> {
        let remaining = self.inner.remaining(topic, mode);
        self.faults.around(Call::Remaining, remaining).await
    }

    async fn topic(&self, topic: &TopicName) -> Result<Topic> {
        self.inner.topic(topic).await
    }

    async fn topics(&self) -> Result<Vec<Topic>> {
        self.inner.topics().await
    }

    async fn delete_topic(&self, topic: &TopicName, mode: DeleteTopic) -> Result<()> {
        self.inner.delete_topic(topic, mode).await
    }

    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        subscribe: Subscribe,
    ) -> Result<Subscription> {
        self.inner.subscribe(topic, group, subscribe).await
    }

    async fn seek(
        &self,
        topic: &TopicName,
        group: &GroupName,
        to: StartPosition,
    ) -> Result<Subscription> {
        self.inner.seek(topic, group, to).await
    }

    async fn pause(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.inner.pause(topic, group).await
    }

    async fn resume(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.inner.resume(topic, group).await
    }

    async fn cancel(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.inner.cancel(topic, group).await
    }

    async fn heartbeat(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.inner.heartbeat(topic, group).await
    }

    async fn subscription(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.inner.subscription(topic, group).await
    }

    async fn subscriptions(&self, topic: &TopicName) -> Result<Vec<Subscription>> {
        self.inner.subscriptions(topic).await
    }

    async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<MessageId>> {
        self.inner.publish(topic, messages).await
    }

    async fn join(
        &self,
        topic: &TopicName,
        group: Option<&GroupName>,
        options: JoinOptions,
    ) -> Result<Arc<dyn Member>> {
        let join = self.inner.join(topic, group, options);
        let inner = self.faults.around(Call::Join, join).await?;
        let faults = self.faults.clone();
        Ok(Arc::new(FaultyMember { inner, faults }))
    }

    async fn maintain(&self) -> Result<MaintenanceReport> {
        self.faults
            .around(Call::Maintain, self.inner.maintain())
            .await
    }

    async fn stats(&self, topic: &TopicName) -> Result<Vec<GroupStats>> {
        self.inner.stats(topic).await
    }

    async fn watermark(&self, topic: &TopicName) -> Result<Watermark> {
        self.inner.watermark(topic).await
    }

    async fn pending(
        &self,
        topic: &TopicName,
        group: &GroupName,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageId>> {
        self.inner.pending(topic, group, after, limit).await
    }

    async fn accounting(
        &self,
        topic: &TopicName,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageAccounting>> {
        self.inner.accounting(topic, after, limit).await
    }

    async fn dead_letters(
        &self,
        topic: &TopicName,
        group: Option<&GroupName>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        self.inner.dead_letters(topic, group, limit).await
    }
}

#[derive(Debug)]
struct FaultyMember {
    inner: Arc<dyn Member>,
    faults: Faults,
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Member for FaultyMember {
    fn subscription(&self) -> Subscription {
        self.inner.subscription()
    }

    fn name(&self) -> &MemberName {
        self.inner.name()
    }

    async fn fetch(&self, limit: usize) -> Result<Fetched> {
        self.faults
            .around(Call::Fetch, self.inner.fetch(limit))
            .await
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Outcome>> {
        self.faults
            .around(Call::Settle, self.inner.settle(settlements))
            .await
    }

    async fn extend(&self, receipts: &[Receipt], by: Duration) -> Result<Vec<Extension>> {
        self.faults
            .around(Call::Extend, self.inner.extend(receipts, by))
            .await
    }

    async fn heartbeat(&self) -> Result<Subscription> {
        self.faults
            .around(Call::Heartbeat, self.inner.heartbeat())
            .await
    }

    fn counters(&self) -> MemberCounters {
        self.inner.counters()
    }

    async fn leave(&self) -> Result<()> {
        self.faults.around(Call::Leave, self.inner.leave()).await
    }
}
