//! Publishing in transactions, some of which are rolled back.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fanout::{Error, MessageId, NewMessage, Result, TopicName, Transactional, TransactionalExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::plan::{Plan, Transaction};

/// What was published.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    /// The numbers of messages whose transaction committed.
    pub(super) committed: HashMap<MessageId, u64>,
    /// Messages whose transaction was rolled back.
    pub(super) rolled_back: HashSet<MessageId>,
    pub(super) commits: u64,
    pub(super) rollbacks: u64,
}

#[derive(Debug, Default)]
pub(super) struct Publications(Mutex<Published>);

impl Publications {
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Published) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
pub(super) struct Publisher<B> {
    pub(super) backend: Arc<B>,
    pub(super) topic: TopicName,
    pub(super) publications: Arc<Publications>,
    pub(super) args: super::Demo,
}

/// Why a transaction was not committed.
enum Undone {
    OnPurpose(Vec<MessageId>),
    Failed(Error),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<B: Transactional> Publisher<B> {
    /// Publishes until all are committed, or until `stop` turns true; two transactions at a time,
    /// so that ids do not commit in order.
    pub(super) async fn run(self, stop: watch::Receiver<bool>) -> Result<()> {
        let plan = Mutex::new(Plan::new(self.args.seed, self.args.messages));
        let began = Instant::now();
        let work = || async {
            let mut stop = stop.clone();
            while let Some(transaction) = next(&plan) {
                let due = self.due(&transaction);
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => break,
                    () = sleep_until(began + due) => {}
                }
                self.publish(transaction).await?;
            }
            Ok(())
        };
        tokio::try_join!(work(), work()).map(|((), ())| ())
    }

    /// When a transaction is to be published, by the rate, from the beginning.
    fn due(&self, transaction: &Transaction) -> Duration {
        match self.args.rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(transaction.numbers.start as f64 / f64::from(rate)),
        }
    }

    async fn publish(&self, transaction: Transaction) -> Result<()> {
        let numbers = transaction.numbers.clone();
        let done = self.transaction(transaction).await;
        self.publications.with(|published| match done {
            Ok(ids) => {
                published.commits += 1;
                published.committed.extend(ids.into_iter().zip(numbers));
                Ok(())
            }
            Err(Undone::OnPurpose(ids)) => {
                published.rollbacks += 1;
                published.rolled_back.extend(ids);
                Ok(())
            }
            Err(Undone::Failed(error)) => Err(error),
        })
    }

    /// One transaction of two calls: what they published stands or falls together.
    async fn transaction(&self, transaction: Transaction) -> Result<Vec<MessageId>, Undone> {
        let message = |number: u64| {
            let key = format!("key-{}", number % 1_000);
            NewMessage::new(payload_of(number, self.args.payload as usize)).key(key)
        };
        let roll_back = transaction.roll_back;
        let mut first: Vec<_> = transaction.numbers.map(message).collect();
        let second = first.split_off(first.len() / 2);
        self.backend
            .with_tx(async move |tx| {
                let mut ids = Vec::new();
                for messages in [first, second] {
                    if !messages.is_empty() {
                        ids.extend(self.backend.publish_in(tx, &self.topic, messages).await?);
                    }
                }
                if roll_back {
                    return Err(Undone::OnPurpose(ids));
                }
                Ok(ids)
            })
            .await
    }
}

fn next(plan: &Mutex<Plan>) -> Option<Transaction> {
    plan.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// The number, filled up.
fn payload_of(number: u64, size: usize) -> Vec<u8> {
    let mut payload = number.to_string().into_bytes();
    if payload.len() < size {
        payload.push(b' ');
        payload.resize(size, b'.');
    }
    payload
}

/// The number in a payload.
pub(super) fn number_of(payload: &[u8]) -> Option<u64> {
    let number = payload.split(|byte| *byte == b' ').next()?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_tells_its_number_whatever_its_size() {
        for size in [0, 1, 5, 6, 256] {
            let payload = payload_of(12_345, size);
            assert_eq!(number_of(&payload), Some(12_345));
            assert_eq!(payload.len(), size.max(5));
        }
        assert_eq!(number_of(b"x"), None);
    }
}
