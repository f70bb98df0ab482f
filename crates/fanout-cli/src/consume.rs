//! `fanout consume`.

use std::time::Duration;

use clap::Args;
use fanout::{
    Backend, Delivery, ErrorKind, Fetched, GroupName, JoinOptions, Member, MemberExt, Subscribe,
    SubscriptionStatus, TopicName,
};
use tokio::time::{Instant, sleep};

use crate::failure::{Failure, Result, complain, describe, one_line};
use crate::output::Output;
use crate::record::printable;
use crate::signal::Interrupt;
use crate::{database, view};

const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));
/// How many fetches in a row may bring nothing while something is due, before that is left to other
/// members: they may have to give up a lane first.
const EMPTY: u32 = 10;

/// Each message is settled after it was printed, so that none is lost when the output fails. Text
/// is one line a message: id, key (`-` for none) and payload, separated by tabs, with control
/// characters escaped; payloads that are no text are shown as `base64:…`.
#[derive(Debug, Args)]
pub(crate) struct Consume {
    topic: TopicName,
    /// The group; none for a queue.
    group: Option<GroupName>,
    /// Take what is there and end, rather than wait for more.
    #[arg(long)]
    once: bool,
    /// End after so many messages.
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// Fetch at most so many at a time.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Subscribe the group first, from now on, unless it is subscribed.
    #[arg(long, requires = "group")]
    subscribe: bool,
}

impl Consume {
    pub(crate) async fn run(self, url: Option<String>, output: &mut Output) -> Result<()> {
        let interrupt = Interrupt::listen()?;
        let backend = database::connect(url).await?;
        if let Some(group) = self.group.as_ref().filter(|_| self.subscribe) {
            subscribe(&*backend, &self.topic, group).await?;
        }
        let member = backend
            .join(&self.topic, self.group.as_ref(), JoinOptions::default())
            .await?;
        let consumed = self.consume(&*backend, &*member, output, &interrupt).await;
        // Gives back what was fetched and not settled.
        let left = member.leave().await;
        consumed.and(left.map_err(Failure::from))
    }

    async fn consume(
        &self,
        backend: &dyn Backend,
        member: &dyn Member,
        output: &mut Output,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let mut left = self.max.unwrap_or(u64::MAX);
        let mut pause = POLL.0;
        let mut empty = 0;
        let mut beat_at = Instant::now();
        // Asked for between batches only: what was printed is settled.
        while left > 0 && !interrupt.is_requested() {
            if beat_at <= Instant::now() {
                let beat = member.heartbeat().await;
                self.or_wait(beat.map(drop), &mut pause, interrupt).await?;
                beat_at = Instant::now() + member.subscription().options.heartbeat_interval;
            }
            let limit = usize::try_from(left.min(self.batch.into())).unwrap_or(usize::MAX);
            let fetched = member.fetch(limit).await;
            let Some(fetched) = self.or_wait(fetched, &mut pause, interrupt).await? else {
                continue;
            };
            report_gaps(&fetched);
            if fetched.deliveries.is_empty() {
                empty += 1;
                if self.once && (empty == EMPTY || !self.is_anything_due(backend).await?) {
                    return Ok(());
                }
                wait(&mut pause, interrupt).await;
                continue;
            }
            (pause, empty) = (POLL.0, 0);
            left -= fetched.deliveries.len() as u64;
            print(&fetched.deliveries, output)?;
            self.settle(member, &fetched.deliveries, &mut pause, interrupt)
                .await?;
        }
        Ok(())
    }

    /// Whether there is something that a member could get now.
    async fn is_anything_due(&self, backend: &dyn Backend) -> Result<bool> {
        let group = self.group.clone().unwrap_or_else(GroupName::queue);
        let stats = backend.stats(&self.topic).await?;
        let group = stats.into_iter().find(|stats| stats.group == group);
        Ok(group.is_some_and(|stats| {
            stats.status == SubscriptionStatus::Active
                && stats.pending > stats.in_flight + stats.delayed
        }))
    }

    /// Settles what was printed, however often it takes.
    async fn settle(
        &self,
        member: &dyn Member,
        deliveries: &[Delivery],
        pause: &mut Duration,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let settled = loop {
            let settled = member.done_all(deliveries).await;
            if let Some(settled) = self.or_wait(settled, pause, interrupt).await? {
                break settled;
            }
        };
        if settled < deliveries.len() {
            complain(&format!(
                "warning: leases ended before messages={} were settled; they come again unless they were settled elsewhere",
                deliveries.len() - settled
            ));
        }
        Ok(())
    }

    /// Waits after an error that may pass, unless all was to be done at once.
    async fn or_wait<T>(
        &self,
        result: fanout::Result<T>,
        pause: &mut Duration,
        interrupt: &Interrupt,
    ) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error)
                if !(self.once || interrupt.is_requested())
                    && (error.kind().is_transient() || error.kind() == ErrorKind::Unknown) =>
            {
                complain(&format!("warning: {}", one_line(&describe(&error))));
                wait(pause, interrupt).await;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Waits, longer each time, or until the end is asked for.
async fn wait(pause: &mut Duration, interrupt: &Interrupt) {
    tokio::select! {
        () = sleep(*pause) => {}
        () = interrupt.requested() => {}
    }
    *pause = (*pause * 2).min(POLL.1);
}

async fn subscribe(backend: &dyn Backend, topic: &TopicName, group: &GroupName) -> Result<()> {
    match backend.subscription(topic, group).await {
        Ok(present) if present.status.counts() => return Ok(()),
        Err(error) if error.kind() != ErrorKind::SubscriptionNotFound => return Err(error.into()),
        _ => {}
    }
    backend
        .subscribe(topic, group, Subscribe::default())
        .await?;
    Ok(())
}

fn print(deliveries: &[Delivery], output: &mut Output) -> Result<()> {
    for delivery in deliveries {
        if output.is_json() {
            output.json(&view::delivery(delivery))?;
            continue;
        }
        let message = &delivery.message;
        let key = message.key.as_deref().map_or("-".to_owned(), printable);
        let (payload, encoding) = view::payload(&message.payload);
        let prefix = if encoding == "base64" { "base64:" } else { "" };
        let payload = printable(&payload);
        output.line(format_args!("{}\t{key}\t{prefix}{payload}", message.id))?;
    }
    output.flush()
}

fn report_gaps(fetched: &Fetched) {
    for gap in &fetched.gaps {
        complain(&format!(
            "warning: messages={} with ids from {} to {} are gone ({:?})",
            gap.count, gap.from, gap.to, gap.reason
        ));
    }
}
