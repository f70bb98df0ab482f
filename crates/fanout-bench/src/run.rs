//! One run: load, drain, check.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Backend, BackendExt, DeleteTopic, GroupName, Member, TopicConfig, TopicName};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use crate::consumer::{Consumer, Seen};
use crate::failure::{Failure, Result};
use crate::fleet::{self, Fleet};
use crate::latency::Latencies;
use crate::progress::Progress;
use crate::publisher::Publisher;
use crate::report::{
    Conflicts, Cost, Latency, Maintenance, Reads, Run, Second, Throughput, Totals,
};
use crate::sample::Sample;
use crate::settings::Settings;
use crate::stamp::Stamps;
use crate::storage::{self, Held, Meter};
use crate::upkeep::Upkeep;

/// How long the groups may settle nothing at all before the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between the moment that everything is ready and the first publish.
const LEAD: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// The parts that all of a run refer to.
#[derive(Debug)]
struct Course {
    settings: Arc<Settings>,
    fleet: Fleet,
    topic: TopicName,
    progress: Arc<Progress>,
    meter: Meter,
    postmaster: Option<u32>,
}

/// Runs the load on the database at `url`, on a topic called `name` which is gone afterwards.
pub(crate) async fn run(
    url: &str,
    postmaster: Option<u32>,
    name: &str,
    settings: Settings,
) -> Result<Run> {
    let course = Course {
        fleet: Fleet::open(url, settings.processes, settings.connections).await?,
        progress: Arc::new(Progress::new(settings.groups)),
        settings: Arc::new(settings),
        topic: TopicName::new(name)?,
        meter: Meter::new(storage::connect(url).await?).await?,
        postmaster,
    };
    let config = TopicConfig {
        completion_mode: course.settings.mode,
        lanes: course.settings.lanes,
        ..TopicConfig::default()
    };
    course
        .fleet
        .engine(0)
        .create_topic(&course.topic, config)
        .await?;
    let run = course.measure(url).await;
    course.fleet.close();
    let deleted = fleet::open(url, 1)
        .await?
        .delete_topic(&course.topic, DeleteTopic::Forced)
        .await;
    let run = run?;
    deleted?;
    Ok(run)
}

impl Course {
    async fn measure(&self, url: &str) -> Result<Run> {
        let held = match self.settings.hold {
            Some(hold) => Some(Held::open(url, hold).await?),
            None => None,
        };
        let members = self.members().await?;
        storage::checkpoint(self.meter.client()).await?;

        let warmup = Duration::from_secs(self.settings.warmup_seconds.into());
        let start = Instant::now() + LEAD;
        let stamps = Stamps::new(start, warmup, self.settings.payload);
        let upkeep = Upkeep::start(self.fleet.engine(0), self.settings.maintenance_seconds);
        let consumers = self.start_consumers(members, &stamps);
        let publishers = self.start_publishers(start, &stamps);
        let samples = self.watch(start).await?;
        let drained = self.drain(publishers, consumers).await;
        let drain_seconds = self.load_end(start).elapsed().as_secs_f64();
        let (latencies, conflicts) = drained?;
        if let Some(held) = held {
            held.release().await?;
        }
        let maintenance = match upkeep {
            Some(upkeep) => Maintenance::new(&upkeep.stop().await?),
            None => Maintenance::default(),
        };
        let totals = self.check(drain_seconds).await?;
        self.fleet.close();
        storage::alone(self.meter.client()).await?;
        let tables = storage::tables(self.meter.client()).await?;

        let first = &samples[self.settings.warmup_seconds as usize];
        let last = &samples[samples.len() - 1];
        let span = last.since(first);
        Ok(Run {
            settings: self.settings.as_ref().clone(),
            throughput: Throughput::new(&span, last),
            latency: Latency::new(&latencies),
            cost: Cost::new(&span),
            reads: Reads::new(&tables, &totals),
            conflicts,
            maintenance,
            totals,
            seconds: samples
                .windows(2)
                .map(|two| Second::new(&two[1].since(&two[0])))
                .collect(),
            tables,
        })
    }

    /// The groups' members, group by group, of all processes.
    async fn members(&self) -> Result<Vec<(usize, Arc<dyn Member>)>> {
        let mut members = Vec::new();
        for number in 0..self.settings.groups as usize {
            let group = GroupName::new(format!("group-{number}"))?;
            let engine = self.fleet.engine(0);
            engine.subscribe_from_now(&self.topic, &group).await?;
            for process in 0..self.settings.processes {
                let engine = self.fleet.engine(process);
                for _ in 0..self.settings.workers {
                    members.push((number, engine.join_group(&self.topic, &group).await?));
                }
            }
        }
        Ok(members)
    }

    fn start_consumers(
        &self,
        members: Vec<(usize, Arc<dyn Member>)>,
        stamps: &Stamps,
    ) -> JoinSet<Result<Seen>> {
        let consumer = |(group, member)| Consumer {
            member,
            group,
            fetch: self.settings.fetch as usize,
            longest_pause: Duration::from_millis(self.settings.pause_ms.into()),
            stamps: stamps.clone(),
            progress: self.progress.clone(),
        };
        members
            .into_iter()
            .map(|member| consumer(member).run())
            .collect()
    }

    fn start_publishers(&self, start: Instant, stamps: &Stamps) -> JoinSet<Result<()>> {
        let publisher = |number| Publisher {
            backend: self.fleet.engine(number),
            topic: self.topic.clone(),
            settings: self.settings.clone(),
            stamps: stamps.clone(),
            progress: self.progress.clone(),
            start,
            end: self.load_end(start),
        };
        (0..self.settings.publishers)
            .map(|number| publisher(number).run(number))
            .collect()
    }

    fn load_end(&self, start: Instant) -> Instant {
        start + SECOND * (self.settings.warmup_seconds + self.settings.seconds)
    }

    /// A sample at the start and after each second of the load.
    async fn watch(&self, start: Instant) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for second in 0..=self.settings.warmup_seconds + self.settings.seconds {
            sleep_until(start + SECOND * second).await;
            samples.push(Sample::take(&self.progress, &self.meter, self.postmaster).await?);
        }
        Ok(samples)
    }

    /// Waits until publishers have ended and every group has settled all that they published.
    async fn drain(
        &self,
        mut publishers: JoinSet<Result<()>>,
        mut consumers: JoinSet<Result<Seen>>,
    ) -> Result<(Latencies, Conflicts)> {
        while let Some(ended) = self.next(&mut publishers).await? {
            ended?;
        }
        self.progress.end();
        let mut latencies = Latencies::new();
        let mut conflicts = Conflicts::default();
        while let Some(ended) = self.next(&mut consumers).await? {
            let seen = ended?;
            latencies.add(&seen.latencies);
            let counters = seen.counters;
            conflicts.add(counters.completion_attempts, counters.completion_conflicts);
        }
        Ok((latencies, conflicts))
    }

    /// The next task that ends, as long as messages are being settled.
    async fn next<T: 'static>(&self, tasks: &mut JoinSet<T>) -> Result<Option<T>> {
        loop {
            let before = self.progress.settled();
            match timeout(PATIENCE, tasks.join_next()).await {
                Ok(ended) => return Ok(ended.map(finished)),
                Err(_) if self.progress.settled() > before => {}
                Err(_) => {
                    return Err(Failure::Stalled {
                        published: self.progress.published(),
                        settled: self.progress.settled(),
                    });
                }
            }
        }
    }

    /// Every message delivered to and settled by every group, once, as counted here and there.
    async fn check(&self, drain_seconds: f64) -> Result<Totals> {
        let groups = self.settings.groups;
        let stats = self.fleet.engine(0).stats(&self.topic).await?;
        let pending = stats.iter().map(|group| group.pending).sum();
        let totals = Totals {
            published: self.progress.published(),
            delivered: self.progress.delivered(),
            settled: self.progress.settled(),
            drain_seconds,
        };
        let expected = totals.published * u64::from(groups);
        if totals.delivered != expected || totals.settled != expected || pending != 0 {
            return Err(Failure::Accounting {
                published: totals.published,
                groups,
                delivered: totals.delivered,
                settled: totals.settled,
                pending,
            });
        }
        Ok(totals)
    }
}

/// A task's result; its panic goes on.
pub(crate) fn finished<T>(ended: Result<T, JoinError>) -> T {
    match ended {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
