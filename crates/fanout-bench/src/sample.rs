//! Where a run stands at one moment.

use tokio::time::Instant;
use tokio_postgres::Client;

use crate::cpu::Cpu;
use crate::failure::Result;
use crate::progress::Progress;
use crate::storage::{self, Counters};

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
        client: &Client,
        postmaster: Option<u32>,
    ) -> Result<Self> {
        let counters = storage::counters(client).await?;
        Ok(Self {
            at: Instant::now(),
            published: progress.published(),
            settled_by_all: progress.settled_by_all(),
            cpu: Cpu::read(postmaster),
            counters,
        })
    }

    pub(crate) fn since(&self, earlier: &Self) -> Span {
        let (now, then) = (&self.counters, &earlier.counters);
        Span {
            seconds: (self.at - earlier.at).as_secs_f64(),
            published: self.published - earlier.published,
            settled_by_all: self.settled_by_all - earlier.settled_by_all,
            cpu: self.cpu.since(&earlier.cpu),
            counters: Counters {
                wal_bytes: now.wal_bytes - then.wal_bytes,
                wal_records: now.wal_records - then.wal_records,
                full_page_images: now.full_page_images - then.full_page_images,
                transactions: now.transactions - then.transactions,
                rows_written: now.rows_written - then.rows_written,
            },
        }
    }
}
