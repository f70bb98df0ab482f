//! The memory engine, with a bug.

use std::sync::Arc;

use async_trait::async_trait;
use fanout_core::{
    Backend, CompletionMode, DeadLetter, DeleteTopic, GroupName, GroupRemaining, GroupStats,
    JoinOptions, MaintenanceReport, Member, MessageAccounting, MessageId, NewMessage, OpenTx,
    Receipt, Result, Settlement, StartPosition, Subscribe, Subscription, Topic, TopicConfig,
    TopicName, TopicUpdate, Transactional, Watermark,
};
use fanout_memory::MemoryBackend;
use parking_lot::Mutex;

use super::Flaw;
use super::flawed_member::FlawedMember;
use super::flawed_tx::{FlawedTx, OpenFlawedTx};
use super::notes::Notes;

/// An engine that does everything right but one thing.
#[derive(Clone, Debug)]
pub(crate) struct FlawedBackend {
    pub(super) inner: MemoryBackend,
    pub(super) flaw: Flaw,
    pub(super) notes: Arc<Mutex<Notes>>,
}

impl FlawedBackend {
    pub(crate) fn new(inner: MemoryBackend, flaw: Flaw) -> Self {
        Self {
            inner,
            flaw,
            notes: Arc::default(),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Backend for FlawedBackend {
    async fn create_topic(&self, topic: &TopicName, config: TopicConfig) -> Result<Topic> {
        self.inner.create_topic(topic, config).await
    }

    async fn update_topic(&self, topic: &TopicName, update: TopicUpdate) -> Result<Topic> {
        self.inner.update_topic(topic, update).await
    }

    async fn migrate_topic(&self, topic: &TopicName, mode: CompletionMode) -> Result<Topic> {
        self.migrate_wrongly(topic, mode).await
    }

    async fn remaining(
        &self,
        topic: &TopicName,
        mode: CompletionMode,
    ) -> Result<Vec<GroupRemaining>> {
        self.inner.remaining(topic, mode).await
    }

    async fn topic(&self, topic: &TopicName) -> Result<Topic> {
        let topic = self.inner.topic(topic).await?;
        Ok(self.as_pretended(topic))
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
        if self.flaw == Flaw::StartsOver {
            // Fails when there is nothing to start over.
            let _ = self.inner.cancel(topic, group).await;
        }
        let fresh = match self.inner.subscription(topic, group).await {
            Ok(before) => !before.status.is_live(),
            Err(_) => true,
        };
        let start = subscribe.start;
        let subscription = self.inner.subscribe(topic, group, subscribe).await?;
        match start {
            StartPosition::FromMessage(id) if fresh && self.flaw == Flaw::StartsOffByOne => {
                let next = StartPosition::FromMessage(MessageId(id.0 + 1));
                self.inner.seek(topic, group, next).await
            }
            _ => Ok(subscription),
        }
    }

    async fn seek(
        &self,
        topic: &TopicName,
        group: &GroupName,
        to: StartPosition,
    ) -> Result<Subscription> {
        let subscription = self.inner.seek(topic, group, to).await?;
        if self.flaw == Flaw::SeekForgets {
            let group = (*group != GroupName::queue()).then_some(group);
            let member = self
                .inner
                .join(topic, group, JoinOptions::default())
                .await?;
            for delivery in member.fetch(1).await?.deliveries {
                member.settle(&[Settlement::skip(delivery.receipt)]).await?;
            }
        }
        Ok(subscription)
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
        let ids = self.inner.publish(topic, messages).await?;
        let mut notes = self.notes.lock();
        notes.draw(topic, &ids);
        notes.commit(topic, &ids);
        Ok(ids)
    }

    async fn join(
        &self,
        topic: &TopicName,
        group: Option<&GroupName>,
        options: JoinOptions,
    ) -> Result<Arc<dyn Member>> {
        let inner = self.inner.join(topic, group, options).await?;
        Ok(Arc::new(FlawedMember {
            inner,
            backend: self.inner.clone(),
            flaw: self.flaw,
            notes: self.notes.clone(),
        }))
    }

    async fn maintain(&self) -> Result<MaintenanceReport> {
        self.inner.maintain().await
    }

    async fn stats(&self, topic: &TopicName) -> Result<Vec<GroupStats>> {
        let mut listed = self.inner.stats(topic).await?;
        let notes = self.notes.lock();
        for stats in &mut listed {
            notes.gloss_over(topic, stats);
        }
        Ok(listed)
    }

    async fn watermark(&self, topic: &TopicName) -> Result<Watermark> {
        let mut watermark = self.inner.watermark(topic).await?;
        match self.flaw {
            Flaw::MarksUnsettled => watermark.id = watermark.decided,
            Flaw::MarksUndecided => {
                let drawn = self.notes.lock().drawn.get(topic).copied();
                watermark.decided = drawn.unwrap_or(watermark.decided);
            }
            _ => {}
        }
        Ok(watermark)
    }

    async fn pending(
        &self,
        topic: &TopicName,
        group: &GroupName,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageId>> {
        let mut pending = self.inner.pending(topic, group, after, limit).await?;
        if self.flaw == Flaw::LosesLateCommits {
            let notes = self.notes.lock();
            pending.retain(|id| !notes.lost.contains(&(topic.clone(), *id)));
        }
        Ok(pending)
    }

    async fn accounting(
        &self,
        topic: &TopicName,
        after: MessageId,
        limit: usize,
    ) -> Result<Vec<MessageAccounting>> {
        let mut accounting = self.inner.accounting(topic, after, limit).await?;
        if self.flaw == Flaw::Miscounts {
            for message in &mut accounting {
                if !message.completed.is_empty() {
                    message.completed.clone_from(&message.required);
                }
            }
        }
        Ok(accounting)
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

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Transactional for FlawedBackend {
    type Tx = FlawedTx;

    async fn publish_in(
        &self,
        tx: &mut FlawedTx,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<MessageId>> {
        if self.flaw == Flaw::DeliversUncommitted {
            return self.inner.publish(topic, messages).await;
        }
        let ids = self
            .inner
            .publish_in(tx.inner.tx(), topic, messages)
            .await?;
        self.notes.lock().draw(topic, &ids);
        tx.published.push((topic.clone(), ids.clone()));
        Ok(ids)
    }

    async fn settle_in(&self, tx: &mut FlawedTx, receipts: &[Receipt]) -> Result<()> {
        let receipts = match self.flaw {
            Flaw::SettlesHalf => &receipts[..receipts.len().min(1)],
            _ => receipts,
        };
        self.inner.settle_in(tx.inner.tx(), receipts).await
    }

    async fn begin(&self) -> Result<Box<dyn OpenTx<Tx = FlawedTx>>> {
        let tx = FlawedTx {
            inner: self.inner.begin().await?,
            published: Vec::new(),
        };
        Ok(Box::new(OpenFlawedTx {
            tx,
            flaw: self.flaw,
            notes: self.notes.clone(),
        }))
    }
}
