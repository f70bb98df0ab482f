//! One member of a group.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Delivery, Member, MemberCounters, MemberExt};
use tokio::time::{Instant, sleep};

use crate::failure::{Failure, Result};
use crate::latency::{Distribution, Latencies, Stages};
use crate::progress::Progress;
use crate::stamp::Stamps;

/// The pause after the first fetch that found nothing; it doubles.
const SHORTEST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Fetches and settles until its group has settled all there is.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) member: Arc<dyn Member>,
    pub(crate) group: usize,
    pub(crate) fetch: usize,
    pub(crate) stamps: Stamps,
    pub(crate) progress: Arc<Progress>,
}

/// What a consumer has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) latencies: Latencies,
    pub(crate) counters: MemberCounters,
}

impl Consumer {
    pub(crate) async fn run(self) -> Result<Seen> {
        let mut latencies = Latencies::new();
        let mut pause = SHORTEST_PAUSE;
        while !self.progress.is_through(self.group) {
            let deliveries = self.member.fetch(self.fetch).await?.deliveries;
            if deliveries.is_empty() {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            pause = SHORTEST_PAUSE;
            self.progress.deliver(self.group, deliveries.len());
            self.record(&deliveries, &mut latencies, |stages| &mut stages.in_hand)?;
            let settled = self.member.done_all(&deliveries).await?;
            self.record(&deliveries, &mut latencies, |stages| &mut stages.settled)?;
            self.progress.settle(self.group, settled);
        }
        Ok(Seen {
            latencies,
            counters: self.member.counters(),
        })
    }

    fn record(
        &self,
        deliveries: &[Delivery],
        latencies: &mut Latencies,
        stage: fn(&mut Stages) -> &mut Distribution,
    ) -> Result<()> {
        let now = Instant::now();
        for delivery in deliveries {
            let due = self
                .stamps
                .due(&delivery.message.payload)
                .ok_or(Failure::ForeignMessage)?;
            stage(latencies.stages(self.stamps.is_measured(due))).record(now - due);
        }
        Ok(())
    }
}
