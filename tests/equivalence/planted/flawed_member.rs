//! A member of a flawed engine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanout_core::{
    Backend, Delivery, ErrorKind, Extension, Fetched, Member, MemberCounters, MemberName,
    MessageId, Outcome, Receipt, ReceiptForm, Result, Settlement, Subscription, SubscriptionStatus,
    TrackedReceipt, Verdict,
};
use fanout_memory::MemoryBackend;
use parking_lot::Mutex;

use super::Flaw;
use super::notes::Notes;

#[derive(Debug)]
pub(super) struct FlawedMember {
    pub(super) inner: Arc<dyn Member>,
    pub(super) backend: MemoryBackend,
    pub(super) flaw: Flaw,
    pub(super) notes: Arc<Mutex<Notes>>,
}

impl FlawedMember {
    /// The receipt with something else in it.
    fn forged(receipt: &Receipt, forge: impl FnOnce(&mut TrackedReceipt)) -> Receipt {
        match *receipt.form() {
            ReceiptForm::Tracked(mut form) => {
                forge(&mut form);
                Receipt::new(ReceiptForm::Tracked(form))
            }
            ReceiptForm::Cursor(_) => *receipt,
        }
    }

    /// Something that others got and that this group was never owed.
    async fn earlier(&self, delivered: &[Delivery]) -> Result<Option<Delivery>> {
        let Subscription {
            topic,
            group,
            group_index,
            ..
        } = self.inner.subscription();
        let accounting = self
            .backend
            .accounting(&topic, MessageId(0), usize::MAX)
            .await?;
        let owed = |id| {
            accounting
                .iter()
                .any(|message| message.id == id && message.required.contains(&group))
        };
        let foreign = delivered
            .iter()
            .find(|other| other.message.topic == topic && !owed(other.message.id));
        Ok(foreign.map(|other| Delivery {
            receipt: Self::forged(&other.receipt, |form| {
                form.group = group_index;
                form.token = -form.token;
            }),
            ..other.clone()
        }))
    }

    async fn fetch_while_paused(&self, limit: usize) -> Result<Fetched> {
        let Subscription { topic, group, .. } = self.inner.subscription();
        let status = self.backend.subscription(&topic, &group).await?.status;
        if status != SubscriptionStatus::Paused {
            return self.inner.fetch(limit).await;
        }
        self.backend.resume(&topic, &group).await?;
        let fetched = self.inner.fetch(limit).await;
        self.backend.pause(&topic, &group).await?;
        fetched
    }

    /// One settlement, done wrong.
    async fn settle_wrongly(&self, settlement: &Settlement) -> Result<Outcome> {
        let receipt = settlement.receipt;
        let with = |verdict: Verdict| Settlement { receipt, verdict };
        let options = self.inner.subscription().options;
        let wrong = match (self.flaw, &settlement.verdict) {
            (Flaw::ForgetsReleases, Verdict::Release) => {
                let extended = self.inner.extend(&[receipt], options.lease).await?;
                return Ok(match extended[0] {
                    Extension::Extended { .. } => Outcome::Applied,
                    Extension::Stale => Outcome::Stale,
                });
            }
            (Flaw::BuriesEarly, Verdict::Fail(_)) => with(Verdict::Skip),
            (Flaw::ForgetsFailures, Verdict::Fail(_))
                if receipt.attempt() < options.max_attempts =>
            {
                with(Verdict::Release)
            }
            _ => settlement.clone(),
        };
        let outcome = match self.inner.settle(&[wrong]).await {
            Err(error)
                if error.kind() == ErrorKind::ForeignReceipt
                    && self.flaw == Flaw::PassesOverForeign =>
            {
                Outcome::Stale
            }
            outcomes => outcomes?[0],
        };
        Ok(match (self.flaw, &settlement.verdict, outcome) {
            (Flaw::AcceptsStale, Verdict::Done, Outcome::Stale) => Outcome::Applied,
            (Flaw::BuriesEarly, Verdict::Fail(_), Outcome::Applied) => Outcome::DeadLettered,
            (Flaw::ForgetsFailures, Verdict::Fail(_), Outcome::Applied) => {
                let now = self.backend.topics().await?.first().map(|t| t.created_at);
                Outcome::Retry {
                    due: now.unwrap_or_default(),
                }
            }
            _ => outcome,
        })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Member for FlawedMember {
    fn subscription(&self) -> Subscription {
        self.inner.subscription()
    }

    fn name(&self) -> &MemberName {
        self.inner.name()
    }

    async fn fetch(&self, limit: usize) -> Result<Fetched> {
        let mut fetched = match self.flaw {
            Flaw::DeliversWhilePaused => self.fetch_while_paused(limit).await?,
            Flaw::IgnoresLimit if limit > 0 => self.inner.fetch(limit + 1).await?,
            _ => self.inner.fetch(limit).await?,
        };
        let fetches = {
            let mut notes = self.notes.lock();
            notes.fetches += 1;
            notes.fetches
        };
        let deliveries = &mut fetched.deliveries;
        match self.flaw {
            Flaw::DeliversTwice if deliveries.len() < limit => {
                let topic = self.inner.subscription().topic;
                let notes = self.notes.lock();
                let last = notes.delivered.iter().rfind(|d| d.message.topic == topic);
                deliveries.extend(last.cloned());
            }
            Flaw::EndsLeasesEarly => {
                let receipts: Vec<_> = deliveries.iter().map(|d| d.receipt).collect();
                self.inner
                    .extend(&receipts, Duration::from_millis(1))
                    .await?;
            }
            Flaw::LosesMessages if fetches % 3 == 0 => {
                if let Some(lost) = deliveries.pop() {
                    self.inner.settle(&[Settlement::skip(lost.receipt)]).await?;
                }
            }
            Flaw::LosesLateCommits => {
                let notes = self.notes.lock();
                deliveries.retain(|d| {
                    let message = (d.message.topic.clone(), d.message.id);
                    !notes.lost.contains(&message)
                });
            }
            Flaw::ForgetsAttempts => {
                for delivery in deliveries.iter_mut() {
                    delivery.attempt = 1;
                    delivery.receipt = Self::forged(&delivery.receipt, |form| form.attempt = 1);
                }
            }
            Flaw::DeliversToLater if deliveries.len() < limit => {
                let delivered = self.notes.lock().delivered.clone();
                deliveries.extend(self.earlier(&delivered).await?);
            }
            _ => {}
        }
        self.notes
            .lock()
            .delivered
            .extend(fetched.deliveries.iter().cloned());
        Ok(fetched)
    }

    async fn settle(&self, settlements: &[Settlement]) -> Result<Vec<Outcome>> {
        match self.flaw {
            Flaw::ForgetsReleases
            | Flaw::BuriesEarly
            | Flaw::ForgetsFailures
            | Flaw::PassesOverForeign
            | Flaw::AcceptsStale => {
                let mut outcomes = Vec::new();
                for settlement in settlements {
                    outcomes.push(self.settle_wrongly(settlement).await?);
                }
                Ok(outcomes)
            }
            _ => self.inner.settle(settlements).await,
        }
    }

    async fn extend(&self, receipts: &[Receipt], by: Duration) -> Result<Vec<Extension>> {
        self.inner.extend(receipts, by).await
    }

    async fn heartbeat(&self) -> Result<Subscription> {
        self.inner.heartbeat().await
    }

    fn counters(&self) -> MemberCounters {
        self.inner.counters()
    }

    async fn leave(&self) -> Result<()> {
        self.inner.leave().await
    }
}
