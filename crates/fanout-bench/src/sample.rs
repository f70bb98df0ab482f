//! Where a run stands at one moment.

use tokio::time::Instant;

use crate::cpu::Cpu;
use crate::failure::Result;
use crate::progress::Progress;
use crate::storage::{Counters, Meter};

/// All counts at one moment, or between two.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) published: u64,
    pub(crate) settled_by_all: u64,
    pub(crate) cpu: Cpu,
    pub(crate) counters: Counters,
}

/// What happened between two samples.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) seconds: f64,
    pub(crate) published: u64,
    pub(crate) settled_by_all: u64,
    pub(crate) cpu: Cpu,
    pub(crate) counters: Counters,
}

impl Sample {
    pub(crate) async fn take(
        progress: &Progress,
        meter: &Meter,
        postmaster: Option<u32>,
    ) -> Result<Self> {
        let counters = meter.read().await?;
        Ok(Self {
            at: Instant::now(),
            published: progress.published(),
            settled_by_all: progress.settled_by_all(),
            cpu: Cpu::read(postmaster),
            counters,
        })
    }

    pub(crate) fn since(&self, earlier: &Self) -> Span {
        Span {
            seconds: (self.at - earlier.at).as_secs_f64(),
            published: self.published - earlier.published,
            settled_by_all: self.settled_by_all - earlier.settled_by_all,
            cpu: self.cpu.since(&earlier.cpu),
            counters: self.counters.since(&earlier.counters),
        }
    }
}
