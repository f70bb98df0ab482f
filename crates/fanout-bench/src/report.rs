//! What is told at the end.

use std::collections::BTreeMap;

use fanout::MaintenanceCounters;
use fanout_core::MaintenanceReport;
use serde::Serialize;

use crate::cpu;
use crate::failure::Result;
use crate::latency::{Latencies, Summary};
use crate::place::Place;
use crate::sample::{Sample, Span};
use crate::settings::Settings;
use crate::storage::{self, TableActivity};

/// All of one invocation.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    pub(crate) environment: Environment,
    pub(crate) runs: Vec<Run>,
}

/// What it ran on.
#[derive(Debug, Serialize)]
pub(crate) struct Environment {
    pub(crate) fanout_version: &'static str,
    pub(crate) place: &'static str,
    pub(crate) cores: usize,
    /// Of the minute before the first run.
    pub(crate) load: Option<f64>,
    pub(crate) server: BTreeMap<String, String>,
}

/// One run. Rates and costs are of the measured seconds alone.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) settings: Settings,
    pub(crate) throughput: Throughput,
    pub(crate) latency: Latency,
    pub(crate) cost: Cost,
    pub(crate) reads: Reads,
    pub(crate) conflicts: Conflicts,
    pub(crate) maintenance: Maintenance,
    pub(crate) totals: Totals,
    /// Each second of the load, warm-up included.
    pub(crate) seconds: Vec<Second>,
    pub(crate) tables: Vec<TableActivity>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Throughput {
    pub(crate) published_per_second: f64,
    /// Delivered to and settled by every group.
    pub(crate) settled_per_second: f64,
    /// Published, and not yet settled by every group, when the load ended.
    pub(crate) backlog_at_end: u64,
}

/// From just before the publish, or from when it was due on a schedule.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) in_hand: Summary,
    pub(crate) settled: Summary,
    pub(crate) warmup_in_hand: Summary,
    pub(crate) warmup_settled: Summary,
}

/// Per message that every group has settled.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) database_cpu_seconds: Option<f64>,
    pub(crate) client_cpu_seconds: Option<f64>,
    pub(crate) wal_bytes: f64,
    pub(crate) wal_records: f64,
    pub(crate) full_page_images: f64,
    pub(crate) rows_written: f64,
    pub(crate) transactions: f64,
    /// Of all clients, those that begin and end transactions included; if the server counts them.
    pub(crate) statements: Option<f64>,
    pub(crate) transactions_per_second: f64,
    /// Cores that neither the database nor this process used: what disturbed the run.
    pub(crate) other_cores: Option<f64>,
}

/// Rows that scans returned, over the whole run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Reads {
    /// Of the log, per published message.
    pub(crate) log_rows_per_message: f64,
    /// Of the log, per message delivered to a group.
    pub(crate) log_rows_per_delivery: f64,
    /// Of all of the engine's tables, per published message.
    pub(crate) rows_per_message: f64,
}

/// Rounds of maintenance beside the load.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Maintenance {
    pub(crate) rounds: u64,
    pub(crate) failures: u64,
    pub(crate) report: MaintenanceReport,
}

/// Of completion records or cursors.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Conflicts {
    pub(crate) attempts: u64,
    pub(crate) conflicts: u64,
    pub(crate) rate: f64,
}

/// Over the whole run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Totals {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) settled: u64,
    /// From the end of the load until nothing was owed.
    pub(crate) drain_seconds: f64,
}

/// One second of the load.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Second {
    pub(crate) published: u64,
    pub(crate) settled: u64,
    pub(crate) database_cpu_seconds: Option<f64>,
    pub(crate) wal_bytes: i64,
}

impl Environment {
    pub(crate) async fn read(place: &Place, load: Option<f64>) -> Result<Self> {
        let client = storage::connect(&place.url()).await?;
        Ok(Self {
            fanout_version: env!("CARGO_PKG_VERSION"),
            place: place.describe(),
            cores: cpu::cores()?,
            load,
            server: storage::settings(&client).await?.into_iter().collect(),
        })
    }
}

impl Throughput {
    pub(crate) fn new(span: &Span, last: &Sample) -> Self {
        Self {
            published_per_second: span.published as f64 / span.seconds,
            settled_per_second: span.settled_by_all as f64 / span.seconds,
            backlog_at_end: last.published.saturating_sub(last.settled_by_all),
        }
    }
}

impl Latency {
    pub(crate) fn new(latencies: &Latencies) -> Self {
        Self {
            in_hand: latencies.measured.in_hand.summary(),
            settled: latencies.measured.settled.summary(),
            warmup_in_hand: latencies.warmup.in_hand.summary(),
            warmup_settled: latencies.warmup.settled.summary(),
        }
    }
}

impl Cost {
    pub(crate) fn new(span: &Span) -> Self {
        let messages = span.settled_by_all.max(1) as f64;
        let (cpu, counters) = (&span.cpu, &span.counters);
        let other = || Some((cpu.machine? - cpu.database? - cpu.client?).max(0.0) / span.seconds);
        Self {
            database_cpu_seconds: cpu.database.map(|seconds| seconds / messages),
            client_cpu_seconds: cpu.client.map(|seconds| seconds / messages),
            wal_bytes: counters.wal_bytes as f64 / messages,
            wal_records: counters.wal_records as f64 / messages,
            full_page_images: counters.full_page_images as f64 / messages,
            rows_written: counters.rows_written as f64 / messages,
            transactions: counters.transactions as f64 / messages,
            statements: counters
                .statements
                .map(|statements| statements as f64 / messages),
            transactions_per_second: counters.transactions as f64 / span.seconds,
            other_cores: other(),
        }
    }
}

impl Reads {
    pub(crate) fn new(tables: &[TableActivity], totals: &Totals) -> Self {
        let read = |tables: &mut dyn Iterator<Item = &TableActivity>| {
            tables.map(|table| table.rows_read).sum::<i64>() as f64
        };
        let log = read(&mut tables.iter().filter(|table| table.table == storage::LOG));
        let (messages, deliveries) = (totals.published.max(1), totals.delivered.max(1));
        Self {
            log_rows_per_message: log / messages as f64,
            log_rows_per_delivery: log / deliveries as f64,
            rows_per_message: read(&mut tables.iter()) / messages as f64,
        }
    }
}

impl Maintenance {
    pub(crate) fn new(counters: &MaintenanceCounters) -> Self {
        Self {
            rounds: counters.rounds,
            failures: counters.failures,
            report: counters.total,
        }
    }
}

impl Conflicts {
    pub(crate) fn add(&mut self, attempts: u64, conflicts: u64) {
        self.attempts += attempts;
        self.conflicts += conflicts;
        self.rate = self.conflicts as f64 / self.attempts.max(1) as f64;
    }
}

impl Second {
    pub(crate) fn new(span: &Span) -> Self {
        Self {
            published: span.published,
            settled: span.settled_by_all,
            database_cpu_seconds: span.cpu.database,
            wal_bytes: span.counters.wal_bytes,
        }
    }
}
