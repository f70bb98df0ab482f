//! A member of a flawed engine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fanout_core::{
    Backend, CursorReceipt, Delivery, ErrorKind, Extension, Fetched, GroupIndex, Member,
    MemberCounters, MemberName, MessageId, Ordering, Outcome, Receipt, ReceiptForm, Result,
    Settlement, Subscription, SubscriptionStatus, TrackedReceipt, Verdict,
};
use fanout_memory::MemoryBackend;
use parking_lot::Mutex;

use super::Flaw;
use super::notes::{Hidden, Notes};

#[derive(Debug)]
pub(super) struct FlawedMember {
    pub(super) inner: Arc<dyn Member>,
    pub(super) backend: MemoryBackend,
    pub(super) flaw: Flaw,
    pub(super) notes: Arc<Mutex<Notes>>,
}

impl FlawedMember {
    /// The receipt, as if it were of the first attempt.
    fn of_first_attempt(receipt: &Receipt) -> Receipt {
        Receipt::new(match *receipt.form() {
            ReceiptForm::Tracked(form) => {
                ReceiptForm::Tracked(TrackedReceipt { attempt: 1, ..form })
            }
            ReceiptForm::Cursor(form) => ReceiptForm::Cursor(CursorReceipt { attempt: 1, ..form }),
        })
    }

    /// The receipt, as if it were another delivery to another group.
    fn of_group(receipt: &Receipt, group: GroupIndex) -> Receipt {
        Receipt::new(match *receipt.form() {
            ReceiptForm::Tracked(form) => ReceiptForm::Tracked(TrackedReceipt {
                group,
                token: -form.token,
                ..form
            }),
            ReceiptForm::Cursor(form) => ReceiptForm::Cursor(CursorReceipt {
                group,
                delivery: -form.delivery,
                ..form
            }),
        })
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
            receipt: Self::of_group(&other.receipt, group_index),
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

    /// The settlements' numbers in order of delivery.
    fn as_delivered(&self, settlements: &[Settlement]) -> Vec<usize> {
        let notes = self.notes.lock();
        let place = |receipt: Receipt| notes.delivered.iter().position(|d| d.receipt == receipt);
        let mut numbers: Vec<_> = (0..settlements.len()).collect();
        numbers.sort_by_key(|number| place(settlements[*number].receipt));
        numbers
    }

    /// One settlement, done wrong.
    async fn settle_wrongly(&self, settlement: &Settlement) -> Result<Outcome> {
        let receipt = settlement.receipt;
        let with = |verdict: Verdict| Settlement { receipt, verdict };
        let options = self.inner.subscription().options;
        if self.flaw == Flaw::DeliversBlocked
            && matches!(settlement.verdict, Verdict::Fail(_))
            && let Some(outcome) = self.keep_away(receipt).await?
        {
            return Ok(outcome);
        }
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
            (Flaw::AcceptsStale, Verdict::Done, Outcome::Stale)
            | (Flaw::SettlesOutOfOrder, Verdict::Done, Outcome::OutOfOrder) => Outcome::Applied,
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
        let fetches = {
            let mut notes = self.notes.lock();
            notes.fetches += 1;
            notes.fetches
        };
        let mut fetched = match self.flaw {
            Flaw::Different if limit > 0 && fetches % 3 == 0 => self.inner.fetch(1).await?,
            Flaw::DeliversWhilePaused => self.fetch_while_paused(limit).await?,
            Flaw::IgnoresLimit if limit > 0 => self.inner.fetch(limit + 1).await?,
            _ => self.inner.fetch(limit).await?,
        };
        let deliveries = &mut fetched.deliveries;
        match self.flaw {
            Flaw::Different if fetches % 2 == 0 => {
                let deliveries = std::mem::take(deliveries);
                let release = |d: Delivery| Settlement::release(d.receipt);
                let released: Vec<_> = deliveries.into_iter().map(release).collect();
                self.inner.settle(&released).await?;
            }
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
                if let Some(last) = deliveries.last() {
                    let skip = [Settlement::skip(last.receipt)];
                    if self.inner.settle(&skip).await?[0].is_effective() {
                        deliveries.pop();
                    }
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
                    delivery.receipt = Self::of_first_attempt(&delivery.receipt);
                }
            }
            Flaw::DeliversToLater if deliveries.len() < limit => {
                let delivered = self.notes.lock().delivered.clone();
                deliveries.extend(self.earlier(&delivered).await?);
            }
            Flaw::InvertsKeys => deliveries.reverse(),
            Flaw::DeliversAhead => {
                let again = |key: &str| {
                    let same = |d: &&Delivery| d.message.key.as_deref() == Some(key);
                    deliveries.iter().filter(same).count() > 1
                };
                let ahead = |d: &Delivery| d.message.key.as_deref().is_some_and(again);
                if let Some(first) = deliveries.iter().position(ahead) {
                    deliveries.remove(first);
                }
            }
            Flaw::ForgetsParked => {
                let Subscription {
                    topic,
                    group,
                    options,
                    ..
                } = self.inner.subscription();
                let parked = |d: &mut Delivery| {
                    options.ordering == Ordering::PerKey
                        && matches!(d.receipt.form(), ReceiptForm::Tracked(_))
                };
                let parked = deliveries.extract_if(.., parked).map(|d| Hidden {
                    topic: topic.clone(),
                    group: group.clone(),
                    until: d.until,
                    lane: None,
                });
                self.notes.lock().hidden.extend(parked);
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
            | Flaw::SettlesOutOfOrder
            | Flaw::DeliversBlocked
            | Flaw::AcceptsStale => {
                let mut outcomes = vec![Outcome::Stale; settlements.len()];
                for number in self.as_delivered(settlements) {
                    outcomes[number] = self.settle_wrongly(&settlements[number]).await?;
                }
                Ok(outcomes)
            }
            Flaw::ChangeVoidsReceipts => self.settle_what_is_new(settlements).await,
            Flaw::Different => self.settle_in_time(settlements).await,
            _ => self.inner.settle(settlements).await,
        }
    }

    async fn extend(&self, receipts: &[Receipt], by: Duration) -> Result<Vec<Extension>> {
        let extensions = self.inner.extend(receipts, by).await?;
        let mut notes = self.notes.lock();
        for (receipt, extension) in receipts.iter().zip(&extensions) {
            if let Extension::Extended { until } = extension {
                notes.extended.insert(*receipt, *until);
            }
        }
        drop(notes);
        Ok(extensions)
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
