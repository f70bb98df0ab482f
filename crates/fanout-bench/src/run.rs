//! One run: load, drain, check.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Backend, BackendExt, DeleteTopic, GroupName, Member, TopicConfig, TopicName};
use fanout_postgres::PostgresBackend;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::Client;

use crate::consumer::{Consumer, Seen};
use crate::failure::{Failure, Result};
use crate::latency::Latencies;
use crate::progress::Progress;
use crate::publisher::Publisher;
use crate::report::{Conflicts, Cost, Latency, Run, Second, Throughput, Totals};
use crate::sample::Sample;
use crate::settings::Settings;
use crate::stamp::Stamps;
use crate::storage;

/// How long the groups may settle nothing at all before the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between the moment that everything is ready and the first publish.
const LEAD: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

/// The parts that all of a run refer to.
#[derive(Debug)]
struct Course {
    settings: Arc<Settings>,
    backend: Arc<dyn Backend>,
    topic: TopicName,
    progress: Arc<Progress>,
    client: Client,
    postmaster: Option<u32>,
}

/// Runs the load on the database at `url`, on a topic called `name` which is gone afterwards.
pub(crate) async fn run(
    url: &str,
    postmaster: Option<u32>,
    name: &str,
    settings: Settings,
) -> Result<Run> {
    let connections = settings.publishers + settings.groups * settings.workers + 1;
    let backend = PostgresBackend::builder(url)
        .pool_size(connections as usize)
        .connect()
        .await?;
    let course = Course {
        progress: Arc::new(Progress::new(settings.groups)),
        settings: Arc::new(settings),
        backend: Arc::new(backend),
        topic: TopicName::new(name)?,
        client: storage::connect(url).await?,
        postmaster,
    };
    let config = TopicConfig {
        completion_mode: course.settings.mode,
        ..TopicConfig::default()
    };
    course.backend.create_topic(&course.topic, config).await?;
    let run = course.measure().await;
    course
        .backend
        .delete_topic(&course.topic, DeleteTopic::Forced)
        .await?;
    run
}

impl Course {
    async fn measure(&self) -> Result<Run> {
        let members = self.members().await?;
        storage::checkpoint(&self.client).await?;

        let warmup = Duration::from_secs(self.settings.warmup_seconds.into());
        let start = Instant::now() + LEAD;
        let stamps = Stamps::new(start, warmup, self.settings.payload);
        let consumers = self.start_consumers(members, &stamps);
        let publishers = self.start_publishers(start, &stamps);
        let samples = self.watch(start).await?;
        let drained = self.drain(publishers, consumers).await;
        let drain_seconds = self.load_end(start).elapsed().as_secs_f64();
        let (latencies, conflicts) = drained?;
        let totals = self.check(drain_seconds).await?;

        let first = &samples[self.settings.warmup_seconds as usize];
        let last = &samples[samples.len() - 1];
        let span = last.since(first);
        Ok(Run {
            settings: self.settings.as_ref().clone(),
            throughput: Throughput::new(&span, last),
            latency: Latency::new(&latencies),
            cost: Cost::new(&span),
            conflicts,
            totals,
            seconds: samples
                .windows(2)
                .map(|two| Second::new(&two[1].since(&two[0])))
                .collect(),
            tables: storage::tables(&self.client).await?,
        })
    }

    /// The groups' members, group by group.
    async fn members(&self) -> Result<Vec<(usize, Arc<dyn Member>)>> {
        let mut members = Vec::new();
        for number in 0..self.settings.groups as usize {
            let group = GroupName::new(format!("group-{number}"))?;
            self.backend.subscribe_from_now(&self.topic, &group).await?;
            for _ in 0..self.settings.workers {
                members.push((number, self.backend.join_group(&self.topic, &group).await?));
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
            stamps: stamps.clone(),
            progress: self.progress.clone(),
        };
        members
            .into_iter()
            .map(|member| consumer(member).run())
            .collect()
    }

    fn start_publishers(&self, start: Instant, stamps: &Stamps) -> JoinSet<Result<()>> {
        let publisher = || Publisher {
            backend: self.backend.clone(),
            topic: self.topic.clone(),
            settings: self.settings.clone(),
            stamps: stamps.clone(),
            progress: self.progress.clone(),
            start,
            end: self.load_end(start),
        };
        (0..self.settings.publishers)
            .map(|number| publisher().run(number))
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
            samples.push(Sample::take(&self.progress, &self.client, self.postmaster).await?);
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
        let stats = self.backend.stats(&self.topic).await?;
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
fn finished<T>(ended: Result<T, JoinError>) -> T {
    match ended {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
