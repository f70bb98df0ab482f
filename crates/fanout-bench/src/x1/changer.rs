//! Whoever changes the mode.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Backend, NewMessage, TopicName, Transactional};
use fanout_postgres::PostgresBackend;
use tokio::time::{Instant, sleep_until};

use super::course::Plan;
use super::ledger::Ledger;
use crate::failure::Result;
use crate::latency::Distribution;
use crate::stamp::Stamps;

/// Messages of a transaction that is held open across a change.
const HELD: usize = 10;

/// Changes the mode at fixed times, each time across a transaction that has published; or only holds
/// that transaction open as long, as a control does.
#[derive(Debug)]
pub(super) struct Changer {
    pub(super) engine: PostgresBackend,
    pub(super) topic: TopicName,
    pub(super) plan: Plan,
    pub(super) ledger: Arc<Ledger>,
    pub(super) stamps: Stamps,
    /// When messages are due that do not count.
    pub(super) uncounted: Instant,
    pub(super) first: Instant,
    pub(super) interval: Duration,
    pub(super) times: u32,
}

impl Changer {
    /// Returns how long the changes took.
    pub(super) async fn run(self) -> Result<Distribution> {
        let mut took = Distribution::new();
        let mut mode = self.plan.mode();
        for time in 0..self.times {
            sleep_until(self.first + self.interval * time).await;
            let mut open = self.engine.begin().await?;
            // Held back, so their latency says nothing.
            let message = NewMessage::new(self.stamps.payload(self.uncounted));
            let batch = vec![message.key("held"); HELD];
            let ids = self
                .engine
                .publish_in(open.tx(), &self.topic, batch)
                .await?;
            if matches!(self.plan, Plan::Change) {
                mode = mode.other();
                let began = Instant::now();
                self.engine.migrate_topic(&self.topic, mode).await?;
                took.record(began.elapsed(), 1);
            }
            sleep_until(self.first + self.interval * time + self.interval / 4).await;
            open.commit().await?;
            self.ledger.published(&ids);
        }
        Ok(took)
    }
}
