//! One member of a group.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Delivery, Member, MemberCounters, MemberExt};
use tokio::time::Instant;

use crate::failure::{Failure, Result};
use crate::latency::{Distribution, Latencies, Stages};
use crate::pause::Pause;
use crate::progress::Progress;
use crate::stamp::Stamps;

/// Fetches and settles until its group has settled all there is.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) member: Arc<dyn Member>,
    pub(crate) group: usize,
    pub(crate) fetch: usize,
    pub(crate) longest_pause: Duration,
    pub(crate) stamps: Stamps,
    pub(crate) progress: Arc<Progress>,
}

/// What a consumer has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) latencies: Latencies,
    pub(crate) counters: MemberCounters,
}

/// Messages in succession that were due at once, as those of one publish are.
type Runs = Vec<(Instant, u64)>;

impl Consumer {
    pub(crate) async fn run(self) -> Result<Seen> {
        let mut latencies = Latencies::new();
        let mut pause = Pause::up_to(self.longest_pause);
        let mut runs = Runs::new();
        while !self.progress.is_through(self.group) {
            let deliveries = self.member.fetch(self.fetch).await?.deliveries;
            if deliveries.is_empty() {
                pause.wait().await;
                continue;
            }
            pause.reset();
            self.progress.deliver(self.group, deliveries.len());
            self.read(&deliveries, &mut runs)?;
            self.record(&runs, &mut latencies, |stages| &mut stages.in_hand);
            let settled = self.member.done_all(&deliveries).await?;
            self.record(&runs, &mut latencies, |stages| &mut stages.settled);
            self.progress.settle(self.group, settled);
        }
        Ok(Seen {
            latencies,
            counters: self.member.counters(),
        })
    }

    /// When the deliveries were due.
    fn read(&self, deliveries: &[Delivery], runs: &mut Runs) -> Result<()> {
        runs.clear();
        for delivery in deliveries {
            let due = self
                .stamps
                .due(&delivery.message.payload)
                .ok_or(Failure::ForeignMessage)?;
            match runs.last_mut() {
                Some((last, messages)) if *last == due => *messages += 1,
                _ => runs.push((due, 1)),
            }
        }
        Ok(())
    }

    fn record(
        &self,
        runs: &Runs,
        latencies: &mut Latencies,
        stage: fn(&mut Stages) -> &mut Distribution,
    ) {
        let now = Instant::now();
        for (due, messages) in runs {
            stage(latencies.stages(self.stamps.is_measured(*due))).record(now - *due, *messages);
        }
    }
}
