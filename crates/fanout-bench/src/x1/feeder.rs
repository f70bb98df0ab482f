//! One publisher.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Backend, NewMessage, TopicName};
use tokio::time::{Instant, sleep_until};

use super::ledger::Ledger;
use crate::args::X1Settings;
use crate::failure::Result;
use crate::stamp::Stamps;

/// Publishes on a schedule; a batch that is late is published at once, and counts from when it was due.
#[derive(Debug)]
pub(super) struct Feeder {
    pub(super) engine: Arc<dyn Backend>,
    pub(super) topic: TopicName,
    pub(super) settings: X1Settings,
    pub(super) stamps: Stamps,
    pub(super) ledger: Arc<Ledger>,
    pub(super) start: Instant,
    pub(super) end: Instant,
}

impl Feeder {
    /// The `number`th of all publishers.
    pub(super) async fn run(self, number: u32) -> Result<()> {
        let X1Settings {
            rate,
            batch,
            publishers,
            keys,
            ..
        } = self.settings;
        let interval = rate.interval(batch, publishers).unwrap_or(Duration::ZERO);
        // Publishers take turns.
        let mut due = self.start + interval.mul_f64(f64::from(number) / f64::from(publishers));
        let mut next = 0_u32;
        while due.max(Instant::now()) < self.end {
            sleep_until(due).await;
            // Without a schedule all is due when it is published.
            let stamp = if interval.is_zero() {
                Instant::now()
            } else {
                due
            };
            let payload = self.stamps.payload(stamp);
            let messages = (0..batch)
                .map(|_| {
                    next = (next + 1) % keys;
                    NewMessage::new(payload.clone()).key(format!("{number}-{next}"))
                })
                .collect();
            let ids = self.engine.publish(&self.topic, messages).await?;
            self.ledger.published(&ids);
            due += interval;
        }
        Ok(())
    }
}
