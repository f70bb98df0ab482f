//! The member of one group.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Member, Settlement};
use tokio::time::Instant;

use super::ledger::Ledger;
use crate::failure::{Failure, Result};
use crate::latency::Distribution;
use crate::pause::Pause;
use crate::stamp::Stamps;

const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Fetches and settles until its group has settled all there is.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) member: Arc<dyn Member>,
    pub(super) group: usize,
    pub(super) fetch: usize,
    pub(super) stamps: Stamps,
    pub(super) ledger: Arc<Ledger>,
}

impl Reader {
    /// Returns the latencies until messages were in hand.
    pub(super) async fn run(self) -> Result<Distribution> {
        let mut latencies = Distribution::new();
        let mut pause = Pause::up_to(LONGEST_PAUSE);
        while !self.ledger.is_through(self.group) {
            let deliveries = self.member.fetch(self.fetch).await?.deliveries;
            if deliveries.is_empty() {
                pause.wait().await;
                continue;
            }
            pause.reset();
            self.ledger.delivered(self.group, &deliveries);
            let now = Instant::now();
            let mut settlements = Vec::with_capacity(deliveries.len());
            for delivery in &deliveries {
                let due = self
                    .stamps
                    .due(&delivery.message.payload)
                    .ok_or(Failure::ForeignMessage)?;
                if self.stamps.is_measured(due) {
                    latencies.record(now - due, 1);
                }
                settlements.push(Settlement::done(delivery.receipt));
            }
            let outcomes = self.member.settle(&settlements).await?;
            self.ledger.settled(self.group, &deliveries, &outcomes);
        }
        self.member.leave().await?;
        Ok(latencies)
    }
}
