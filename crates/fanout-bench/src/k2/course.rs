//! Load, crashes, drain.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{
    Backend, Clock, DeleteTopic, GroupName, StartPosition, Subscribe, SubscriptionOptions,
    SystemClock, TopicConfig, TopicName,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::fate::{Doom, Fate};
use super::feeder::Feeder;
use super::ledger::Ledger;
use super::process::{Life, Process};
use super::report::Outcome;
use crate::args::K2Settings;
use crate::failure::{Failure, Result};
use crate::fleet;
use crate::run::finished;
use crate::upkeep::Upkeep;

/// How long members may settle nothing at all before the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what is owed.
const LOOK: Duration = Duration::from_millis(100);
const CONNECTIONS: u32 = 4;

/// One run.
#[derive(Debug)]
pub(super) struct Course {
    url: String,
    settings: K2Settings,
    engine: Arc<dyn Backend>,
    topic: TopicName,
    group: GroupName,
    ledger: Arc<Ledger>,
    random: StdRng,
    processes: JoinSet<Result<Life>>,
    dooms: Vec<Arc<Doom>>,
    outcome: Outcome,
}

impl Course {
    pub(super) async fn run(url: &str, settings: &K2Settings) -> Result<Outcome> {
        let mut course = Self {
            url: url.to_owned(),
            settings: settings.clone(),
            engine: Arc::new(fleet::open(url, CONNECTIONS).await?),
            topic: TopicName::new(format!("bench-{}", SystemClock.now().as_micros()))?,
            group: GroupName::new("group")?,
            ledger: Arc::default(),
            random: StdRng::seed_from_u64(settings.seed),
            processes: JoinSet::new(),
            dooms: Vec::new(),
            outcome: Outcome::default(),
        };
        course.prepare().await?;
        let done = course.measure().await;
        course.processes.shutdown().await;
        let deleted = course
            .engine
            .delete_topic(&course.topic, DeleteTopic::Forced)
            .await;
        done?;
        deleted?;
        Ok(course.outcome)
    }

    async fn prepare(&self) -> Result<()> {
        let config = TopicConfig {
            completion_mode: self.settings.mode,
            lanes: self.settings.lanes,
            ..TopicConfig::default()
        };
        self.engine.create_topic(&self.topic, config).await?;
        let options = SubscriptionOptions {
            lease: Duration::from_millis(self.settings.lease_ms.into()),
            // A crash is no fault of the message here.
            max_stalls: i32::MAX as u32,
            ..SubscriptionOptions::default()
        };
        let subscribe = Subscribe {
            start: StartPosition::FromNow,
            options,
        };
        self.engine
            .subscribe(&self.topic, &self.group, subscribe)
            .await?;
        Ok(())
    }

    async fn measure(&mut self) -> Result<()> {
        let upkeep = Upkeep::start(self.engine.clone(), 1);
        for number in 0..self.settings.members as usize {
            self.dooms.push(Arc::default());
            self.start(number);
        }
        let start = Instant::now();
        let end = start + Duration::from_secs(self.settings.seconds.into());
        let feeder = Feeder {
            engine: self.engine.clone(),
            topic: self.topic.clone(),
            settings: self.settings.clone(),
            ledger: self.ledger.clone(),
        };
        let mut feeders: JoinSet<_> = [feeder.run(end)].into_iter().collect();
        self.crash_until(end).await?;
        while let Some(ended) = feeders.join_next().await {
            finished(ended)?;
        }
        self.drain().await?;
        self.outcome.drain_seconds = end.elapsed().as_secs_f64();
        self.ledger.close();
        while let Some(ended) = self.processes.join_next().await {
            self.outcome.add(&finished(ended)?);
        }
        if let Some(upkeep) = upkeep {
            upkeep.stop().await?;
        }
        self.outcome.conclude(&self.ledger.sum());
        Ok(())
    }

    /// Decides the end of one process after the other, and starts others in their place.
    async fn crash_until(&mut self, end: Instant) -> Result<()> {
        let mut next = self.next_crash();
        while Instant::now() < end {
            tokio::select! {
                Some(ended) = self.processes.join_next() => self.replace(&finished(ended)?),
                () = sleep_until(next.min(end)) => {
                    let chosen = self.random.random_range(0..self.dooms.len());
                    let fate = Fate::choose(&self.settings, &mut self.random);
                    self.dooms[chosen].decide(fate);
                    next = self.next_crash();
                }
            }
        }
        Ok(())
    }

    fn next_crash(&mut self) -> Instant {
        let average = Duration::from_millis(self.settings.crash_ms.into());
        Instant::now() + average.mul_f64(self.random.random_range(0.5..1.5))
    }

    /// Waits until nothing is owed. Crashes that are decided may still come.
    async fn drain(&mut self) -> Result<()> {
        let mut settled = self.ledger.sum().applied;
        let mut since = Instant::now();
        loop {
            if let Ok(Some(ended)) = timeout(LOOK, self.processes.join_next()).await {
                self.replace(&finished(ended)?);
            }
            let stats = self.engine.stats(&self.topic).await?;
            if stats.iter().all(|group| group.pending == 0) {
                return Ok(());
            }
            let sum = self.ledger.sum();
            if sum.applied > settled {
                (settled, since) = (sum.applied, Instant::now());
            } else if since.elapsed() > PATIENCE {
                return Err(Failure::Stalled {
                    published: sum.published,
                    settled,
                });
            }
        }
    }

    fn replace(&mut self, life: &Life) {
        self.outcome.add(life);
        self.dooms[life.number] = Arc::default();
        self.start(life.number);
    }

    fn start(&mut self, number: usize) {
        let process = Process {
            number,
            url: self.url.clone(),
            topic: self.topic.clone(),
            group: self.group.clone(),
            fetch: self.settings.fetch as usize,
            ledger: self.ledger.clone(),
            doom: self.dooms[number].clone(),
        };
        self.processes.spawn(process.run());
    }
}
