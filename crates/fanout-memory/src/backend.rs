//! The engine's handle.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use fanout_core::{
    Backend, CompletionMode, DeadLetter, DeleteTopic, GroupName, GroupRemaining, GroupStats,
    JoinOptions, MaintenanceReport, Member, MessageAccounting, MessageId, NewMessage, Result,
    Semantics, StartPosition, Subscribe, Subscription, SubscriptionEvent, Topic, TopicConfig,
    TopicName, TopicUpdate, Watermark,
};

use crate::MemoryBuilder;
use crate::member::MemoryMember;
use crate::refusal::Refusal;
use crate::settling::Seat;
use crate::shared::Shared;

/// The in-memory engine. A cheap handle: clones work on the same topics.
///
/// **Everything is lost when the last handle, member and transaction is dropped**, or the process
/// ends.
#[derive(Clone)]
pub struct MemoryBackend {
    pub(crate) shared: Arc<Shared>,
}

impl MemoryBackend {
    /// An engine with the defaults of its [builder](Self::builder).
    #[must_use]
    pub fn new() -> Self {
        MemoryBuilder::default().build()
    }

    /// Configures an engine.
    pub fn builder() -> MemoryBuilder {
        MemoryBuilder::default()
    }

    /// Closes the engine for all handles and members: every call fails from now on, and open
    /// transactions can only be rolled back. Closing again changes nothing.
    pub fn close(&self) {
        self.shared.always(|state| state.closed = true);
    }

    pub(crate) fn from_shared(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBackend").finish_non_exhaustive()
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    async fn create_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<Topic> {
        self.shared.step(|state, now| {
            config.check()?;
            state.create_topic(topic, config, now)
        })
    }

    async fn update_topic(&self, topic: &TopicName, update: TopicUpdate) -> Result<Topic> {
        self.shared.step(|state, _| {
            let topic = &mut state.topic_mut(topic)?.topic;
            topic.config = update.apply(&topic.config)?;
            Ok(topic.clone())
        })
    }

    async fn migrate_topic(&self, topic: &TopicName, mode: CompletionMode) -> Result<Topic> {
        self.shared.step(|state, _| {
            let topic = &mut state.topic_mut(topic)?.topic;
            topic.config.completion_mode = mode;
            Ok(topic.clone())
        })
    }

    async fn remaining(
        &self,
        topic: &TopicName,
        mode: CompletionMode,
    ) -> Result<Vec<GroupRemaining>> {
        self.shared
            .step(|state, _| Ok(state.topic(topic)?.remaining(mode)))
    }

    async fn topic(&self, topic: &TopicName) -> Result<Topic> {
        self.shared
            .step(|state, _| Ok(state.topic(topic)?.topic.clone()))
    }

    async fn topics(&self) -> Result<Vec<Topic>> {
        self.shared
            .step(|state, _| Ok(state.by_name().map(|state| state.topic.clone()).collect()))
    }

    async fn delete_topic(&self, topic: &TopicName, mode: DeleteTopic) -> Result<()> {
        self.shared.step(|state, _| state.delete_topic(topic, mode))
    }

    async fn subscribe(
        &self,
        topic: &TopicName,
        group: &GroupName,
        subscribe: Subscribe,
    ) -> Result<Subscription> {
        self.shared.step(|state, now| {
            subscribe.options.check()?;
            let mut next = state.next_subscription;
            let subscription = state
                .topic_mut(topic)?
                .subscribe(group, subscribe, &mut next, now)?;
            state.next_subscription = next;
            Ok(subscription)
        })
    }

    async fn seek(
        &self,
        topic: &TopicName,
        group: &GroupName,
        to: StartPosition,
    ) -> Result<Subscription> {
        self.shared
            .step(|state, now| state.topic_mut(topic)?.seek(group, to, now))
    }

    async fn pause(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.on(topic, group, SubscriptionEvent::Pause)
    }

    async fn resume(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.on(topic, group, SubscriptionEvent::Resume)
    }

    async fn cancel(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.shared
            .step(|state, now| state.topic_mut(topic)?.cancel(group, now))
    }

    async fn heartbeat(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.shared
            .step(|state, now| state.topic_mut(topic)?.group_mut(group)?.beat(now))
    }

    async fn subscription(&self, topic: &TopicName, group: &GroupName) -> Result<Subscription> {
        self.shared
            .step(|state, _| Ok(state.topic(topic)?.group(group)?.subscription.clone()))
    }

    async fn subscriptions(&self, topic: &TopicName) -> Result<Vec<Subscription>> {
        self.shared.step(|state, _| Ok(state.topic(topic)?.all()))
    }

    async fn publish(
        &self,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<MessageId>> {
        self.shared.step(|state, now| {
            NewMessage::check_batch(&messages)?;
            let staged = state.stage(topic, messages, now)?;
            let ids = staged.ids();
            state.admit(staged);
            Ok(ids)
        })
    }

    async fn join(
        &self,
        topic: &TopicName,
        group: Option<&GroupName>,
        options: JoinOptions,
    ) -> Result<Arc<dyn Member>> {
        self.shared.step(|state, _| {
            let found = state.topic(topic)?;
            let queue = GroupName::queue();
            let group = match (found.topic.config.semantics, group) {
                (Semantics::Queue, None) => &queue,
                (Semantics::PubSub, Some(group)) => group,
                (Semantics::PubSub, None) => return Err(Refusal::NoGroup(topic.clone())),
                (Semantics::Queue, Some(group)) => {
                    return Err(Refusal::GroupOnQueue {
                        topic: topic.clone(),
                        group: group.clone(),
                    });
                }
            };
            let joined = found.group(group)?;
            let subscription = joined.subscription.clone();
            if !subscription.status.counts() {
                return Err(joined.ended());
            }
            let seat = Seat {
                topic: found.topic.id,
                subscription: subscription.id,
                group: group.clone(),
            };
            let session = state.next_session();
            let member = MemoryMember::new(
                Arc::clone(&self.shared),
                seat,
                session,
                options.name,
                subscription,
            )?;
            Ok(Arc::new(member) as Arc<dyn Member>)
        })
    }

    async fn maintain(&self) -> Result<MaintenanceReport> {
        // Settlements are accounted for at once, the watermark is exact whenever it is read, and
        // messages go when room is needed.
        self.shared.step(|_, _| Ok(MaintenanceReport::default()))
    }

    async fn stats(&self, topic: &TopicName) -> Result<Vec<GroupStats>> {
        self.shared
            .step(|state, now| Ok(state.topic(topic)?.stats(&state.dead_letters, now)))
    }

    async fn watermark(&self, topic: &TopicName) -> Result<Watermark> {
        self.shared
            .step(|state, now| Ok(state.topic(topic)?.watermark(now)))
    }

    async fn pending(
        &self,
        topic: &TopicName,
        group: &GroupName,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageId>> {
        self.shared.step(|state, _| {
            let ledger = &state.topic(topic)?.group(group)?.ledger;
            Ok(ledger.above(after).take(limit).collect())
        })
    }

    async fn accounting(
        &self,
        topic: &TopicName,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageAccounting>> {
        self.shared
            .step(|state, _| Ok(state.topic(topic)?.accounting(after, limit)))
    }

    async fn dead_letters(
        &self,
        topic: &TopicName,
        group: Option<&GroupName>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>> {
        self.shared
            .step(|state, _| Ok(state.dead_letters.list(topic, group, limit)))
    }
}

impl MemoryBackend {
    fn on(
        &self,
        topic: &TopicName,
        group: &GroupName,
        event: SubscriptionEvent,
    ) -> Result<Subscription> {
        self.shared.step(|state, now| {
            let found = state.topic_mut(topic)?.group_mut(group)?;
            found.on(event, now)?;
            Ok(found.subscription.clone())
        })
    }
}
