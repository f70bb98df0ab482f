//! Engines that get a change of the mode wrong.

use fanout_core::{
    Backend, CompletionMode, GroupName, JoinOptions, Outcome, Result, Settlement, Topic, TopicName,
};

use super::Flaw;
use super::flawed_backend::FlawedBackend;
use super::flawed_member::FlawedMember;

impl FlawedBackend {
    pub(super) async fn migrate_wrongly(
        &self,
        topic: &TopicName,
        mode: CompletionMode,
    ) -> Result<Topic> {
        let before = self.inner.topic(topic).await?;
        if self.flaw == Flaw::KeepsItsMode {
            self.notes.lock().pretended.insert(topic.clone(), mode);
            return Ok(self.as_pretended(before));
        }
        if before.config.completion_mode != mode {
            match self.flaw {
                Flaw::ChangeLosesBacklog => self.lose_one_of_each(topic).await?,
                Flaw::ChangeVoidsReceipts => self.notes.lock().void(topic),
                _ => {}
            }
        }
        self.inner.migrate_topic(topic, mode).await
    }

    /// The topic, as if its mode had been changed.
    pub(super) fn as_pretended(&self, mut topic: Topic) -> Topic {
        if let Some(mode) = self.notes.lock().pretended.get(&topic.name) {
            topic.config.completion_mode = *mode;
        }
        topic
    }

    async fn lose_one_of_each(&self, topic: &TopicName) -> Result<()> {
        for subscription in self.inner.subscriptions(topic).await? {
            let group = &subscription.group;
            if !subscription.status.is_live() {
                continue;
            }
            let named = (*group != GroupName::queue()).then_some(group);
            let options = JoinOptions::default();
            let member = self.inner.join(topic, named, options).await?;
            for delivery in member.fetch(1).await?.deliveries {
                member.settle(&[Settlement::skip(delivery.receipt)]).await?;
            }
        }
        Ok(())
    }
}

impl FlawedMember {
    /// Takes no receipt of before the last change.
    pub(super) async fn settle_what_is_new(
        &self,
        settlements: &[Settlement],
    ) -> Result<Vec<Outcome>> {
        let voided = self.notes.lock().voided.clone();
        let is_good = |settlement: &&Settlement| !voided.contains(&settlement.receipt);
        let good: Vec<_> = settlements.iter().filter(is_good).cloned().collect();
        let mut outcomes = self.inner.settle(&good).await?.into_iter();
        let outcome = |settlement| {
            let good = is_good(&settlement).then(|| outcomes.next());
            good.flatten().unwrap_or(Outcome::Stale)
        };
        Ok(settlements.iter().map(outcome).collect())
    }
}
