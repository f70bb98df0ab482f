//! The publisher.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanout_core::{Backend, NewMessage, TopicName};
use tokio::time::{Instant, sleep_until};

use super::ledger::Ledger;
use crate::args::K2Settings;
use crate::failure::Result;

/// Publishes at a rate, and enters what it has published.
#[derive(Debug)]
pub(super) struct Feeder {
    pub(super) engine: Arc<dyn Backend>,
    pub(super) topic: TopicName,
    pub(super) settings: K2Settings,
    pub(super) ledger: Arc<Ledger>,
}

impl Feeder {
    pub(super) async fn run(self, end: Instant) -> Result<()> {
        let K2Settings {
            rate,
            batch,
            payload,
            ..
        } = self.settings;
        let interval = rate.interval(batch, 1).unwrap_or(Duration::ZERO);
        let message = NewMessage::new(Bytes::from(vec![b'.'; payload as usize]));
        let mut due = Instant::now();
        while Instant::now() < end {
            sleep_until(due).await;
            let messages = vec![message.clone(); batch as usize];
            let ids = self.engine.publish(&self.topic, messages).await?;
            self.ledger.published(&ids);
            due += interval;
        }
        Ok(())
    }
}
