//! One topic: load, changes, drain.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, BackendExt, Clock, CompletionMode, DeleteTopic, GroupName, Ordering, Subscribe,
    SubscriptionOptions, SystemClock, TopicConfig, TopicName,
};
use fanout_postgres::PostgresBackend;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::changer::Changer;
use super::feeder::Feeder;
use super::ledger::Ledger;
use super::lock_log::LockLog;
use super::reader::Reader;
use super::report::Phase;
use crate::args::X1Settings;
use crate::failure::Result;
use crate::fleet;
use crate::latency::Distribution;
use crate::run::finished;
use crate::stamp::Stamps;
use crate::upkeep::Upkeep;

/// How long groups may settle nothing at all: what is not settled by then is lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between the moment that everything is ready and the first publish.
const LEAD: Duration = Duration::from_millis(100);

/// What becomes of the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It stays: a control.
    Stay(CompletionMode),
    /// It changes, first away from the default.
    Change,
}

impl Plan {
    /// The mode at the beginning.
    pub(super) fn mode(self) -> CompletionMode {
        match self {
            Self::Stay(mode) => mode,
            Self::Change => CompletionMode::default(),
        }
    }
}

/// One phase.
#[derive(Debug)]
pub(super) struct Course {
    settings: X1Settings,
    plan: Plan,
    topic: TopicName,
    engine: PostgresBackend,
    /// Apart, so that changes wait for no connection.
    changing: PostgresBackend,
    ledger: Arc<Ledger>,
}

const fn wants_order(group: u32) -> bool {
    group % 2 == 1
}

impl Course {
    pub(super) async fn run(
        url: &str,
        settings: &X1Settings,
        plan: Plan,
        log: Option<&LockLog>,
    ) -> Result<Phase> {
        let connections = settings.groups + settings.publishers + 2;
        let course = Self {
            settings: settings.clone(),
            plan,
            topic: TopicName::new(format!("bench-{}", SystemClock.now().as_micros()))?,
            engine: fleet::open(url, connections).await?,
            changing: fleet::open(url, 2).await?,
            ledger: Arc::new(Ledger::new((0..settings.groups).map(wants_order))),
        };
        let config = TopicConfig {
            completion_mode: plan.mode(),
            lanes: settings.lanes,
            ..TopicConfig::default()
        };
        course.engine.create_topic(&course.topic, config).await?;
        let measured = course.measure(log).await;
        let deleted = course
            .engine
            .delete_topic(&course.topic, DeleteTopic::Forced);
        let deleted = deleted.await;
        course.engine.close();
        course.changing.close();
        let phase = measured?;
        deleted?;
        Ok(phase)
    }

    async fn measure(&self, log: Option<&LockLog>) -> Result<Phase> {
        let engine: Arc<dyn Backend> = Arc::new(self.engine.clone());
        let interval = Duration::from_millis(self.settings.interval_ms.into());
        let warmup = Duration::from_secs(self.settings.warmup.into());
        let times = self.settings.changes * 2;
        let members = self.members().await?;
        let log_start = log.map(LockLog::end).transpose()?;
        let start = Instant::now() + LEAD;
        let stamps = Stamps::new(start, warmup, self.settings.payload);
        let end = start + warmup + interval * times;
        let upkeep = Upkeep::start(engine.clone(), 1);
        let mut readers: JoinSet<_> = members
            .into_iter()
            .enumerate()
            .map(|(group, member)| {
                Reader {
                    member,
                    group,
                    fetch: self.settings.fetch as usize,
                    stamps: stamps.clone(),
                    ledger: self.ledger.clone(),
                }
                .run()
            })
            .collect();
        let mut feeders: JoinSet<_> = (0..self.settings.publishers)
            .map(|number| {
                Feeder {
                    engine: engine.clone(),
                    topic: self.topic.clone(),
                    settings: self.settings.clone(),
                    stamps: stamps.clone(),
                    ledger: self.ledger.clone(),
                    start,
                    end,
                }
                .run(number)
            })
            .collect();
        let changer = Changer {
            engine: self.changing.clone(),
            topic: self.topic.clone(),
            plan: self.plan,
            ledger: self.ledger.clone(),
            stamps,
            uncounted: start,
            first: start + warmup,
            interval,
            times,
        };
        let mut changers: JoinSet<_> = [changer.run()].into_iter().collect();
        let mut took = Distribution::new();
        while let Some(ended) = changers.join_next().await {
            took.add(&finished(ended)?);
        }
        while let Some(ended) = feeders.join_next().await {
            finished(ended)?;
        }
        self.ledger.end();
        let latencies = self.drain(&mut readers).await?;
        let drain_seconds = end.elapsed().as_secs_f64();
        if let Some(upkeep) = upkeep {
            upkeep.stop().await?;
        }
        let waits = match (log, log_start) {
            (Some(log), Some(start)) => Some(log.waits_since(start)?),
            _ => None,
        };
        let sum = self.ledger.sum();
        Ok(Phase::new(
            self.plan,
            sum,
            waits,
            &latencies,
            &took,
            drain_seconds,
        ))
    }

    /// A member of each group; every other one wants order.
    async fn members(&self) -> Result<Vec<Arc<dyn fanout_core::Member>>> {
        let mut members = Vec::new();
        for number in 0..self.settings.groups {
            let group = GroupName::new(format!("group-{number}"))?;
            let ordering = if wants_order(number) {
                Ordering::PerKey
            } else {
                Ordering::Unordered
            };
            let options = SubscriptionOptions {
                ordering,
                ..SubscriptionOptions::default()
            };
            let subscribe = Subscribe::from(options);
            self.engine
                .subscribe(&self.topic, &group, subscribe)
                .await?;
            members.push(self.engine.join_group(&self.topic, &group).await?);
        }
        Ok(members)
    }

    /// Waits until every group has settled all, or nothing is settled any more.
    async fn drain(&self, readers: &mut JoinSet<Result<Distribution>>) -> Result<Distribution> {
        let mut latencies = Distribution::new();
        loop {
            let before = self.ledger.settled_so_far();
            match timeout(PATIENCE, readers.join_next()).await {
                Ok(None) => return Ok(latencies),
                Ok(Some(ended)) => latencies.add(&finished(ended)?),
                Err(_) if self.ledger.settled_so_far() > before => {}
                Err(_) => self.ledger.close(),
            }
        }
    }
}
