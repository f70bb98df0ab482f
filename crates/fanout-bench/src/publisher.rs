//! One publisher.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Backend, NewMessage, TopicName};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::failure::Result;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::stamp::Stamps;

/// Publishes batches until the end of the load.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) topic: TopicName,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stamps: Stamps,
    pub(crate) progress: Arc<Progress>,
    pub(crate) start: Instant,
    pub(crate) end: Instant,
}

impl Publisher {
    /// The `number`th of all publishers.
    pub(crate) async fn run(self, number: u32) -> Result<()> {
        let Settings {
            rate,
            batch,
            publishers,
            ..
        } = *self.settings;
        match rate.interval(batch, publishers) {
            // Publishers take turns.
            Some(interval) => {
                let first =
                    self.start + interval.mul_f64(f64::from(number) / f64::from(publishers));
                self.on_schedule(first, interval).await
            }
            None => self.as_fast_as_groups_follow().await,
        }
    }

    /// Open loop: a batch that is late is published at once, and counts from when it was due.
    async fn on_schedule(&self, first: Instant, interval: Duration) -> Result<()> {
        let mut due = first;
        while due < self.end {
            sleep_until(due).await;
            self.publish(due).await?;
            due += interval;
        }
        Ok(())
    }

    async fn as_fast_as_groups_follow(&self) -> Result<()> {
        let backlog = self.settings.backlog.unwrap_or(u32::MAX);
        sleep_until(self.start).await;
        while timeout_at(self.end, self.progress.within(backlog))
            .await
            .is_ok()
        {
            let now = Instant::now();
            if now >= self.end {
                break;
            }
            self.publish(now).await?;
        }
        Ok(())
    }

    async fn publish(&self, due: Instant) -> Result<()> {
        let batch = self.settings.batch;
        // All of a batch are due at once, so they share one payload.
        let messages = vec![NewMessage::new(self.stamps.payload(due)); batch as usize];
        self.progress.offer(u64::from(batch));
        let ids = self.backend.publish(&self.topic, messages).await?;
        self.progress.publish(ids.len() as u64);
        Ok(())
    }
}
