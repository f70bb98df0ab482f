//! The demo itself, on any engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fanout::{
    Backend, Clock, DeleteTopic, GroupName, GroupStats, Result, Subscribe, SystemClock,
    TopicConfig, TopicName, Transactional,
};
use tokio::time::{Instant, sleep};

use super::Demo;
use super::args::Part;
use super::board::{Board, Progress};
use super::cast::Cast;
use super::group::Group;
use super::proof::prove;
use crate::failure::{Failure, Result as CliResult};
use crate::output::Output;
use crate::signal::Interrupt;

/// After how long without any progress the demo gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs its parts one after another.
pub(super) async fn run<B: Transactional>(
    backend: B,
    args: &Demo,
    interrupt: &Interrupt,
    output: &mut Output,
) -> CliResult<()> {
    let backend = Arc::new(backend);
    for part in args.parts() {
        on_a_topic(&backend, part, args, interrupt, output).await?;
    }
    Ok(())
}

/// Runs one on a topic of its own, and deletes that whatever happens.
async fn on_a_topic<B: Transactional>(
    backend: &Arc<B>,
    part: Part,
    args: &Demo,
    interrupt: &Interrupt,
    output: &mut Output,
) -> CliResult<()> {
    if !output.is_json() {
        output.line(format_args!("\n{} groups, {}", part.groups, part.mode))?;
        output.flush()?;
    }
    let suffix = SystemClock.now().as_micros();
    let topic = TopicName::new(format!("fanout-demo-{suffix}-{}", std::process::id()))?;
    let config = TopicConfig {
        completion_mode: part.mode,
        ..TopicConfig::default()
    };
    backend.create_topic(&topic, config).await?;
    let shown = show(backend, &topic, part, args, interrupt, output).await;
    let deleted = backend.delete_topic(&topic, DeleteTopic::Forced).await;
    shown?;
    Ok(deleted?)
}

async fn show<B: Transactional>(
    backend: &Arc<B>,
    topic: &TopicName,
    part: Part,
    args: &Demo,
    interrupt: &Interrupt,
    output: &mut Output,
) -> CliResult<()> {
    let groups = (0..part.groups.into())
        .map(|index| Group::new(index, args))
        .collect::<Result<Vec<_>>>()?;
    for group in &groups {
        let subscribe = Subscribe::from(group.behaviour.options());
        backend.subscribe(topic, &group.name, subscribe).await?;
    }
    let mut cast = Cast::start(backend, topic, &groups, args);
    let watched = watch(
        &mut cast, &**backend, topic, &groups, args, interrupt, output,
    )
    .await;
    let published = cast.end().await;
    watched?;
    prove(&**backend, topic, part.mode, &groups, &published?, output).await
}

/// Shows where things stand until all is published and settled.
async fn watch<B: Backend + ?Sized>(
    cast: &mut Cast,
    backend: &B,
    topic: &TopicName,
    groups: &[Group],
    args: &Demo,
    interrupt: &Interrupt,
    output: &mut Output,
) -> CliResult<()> {
    let mut board = Board::new(output);
    let mut moved = (Instant::now(), 0);
    loop {
        tokio::select! {
            failed = cast.failed() => return Err(failed.into()),
            () = interrupt.requested() => return Err(Failure::Interrupted),
            () = sleep(board.interval()) => {}
        }
        // Before the figures are read: nothing is published after that.
        let published = cast.has_published();
        let stats = backend.stats(topic).await?;
        let pending = stats.iter().any(|stats| stats.pending > 0);
        let progress = cast.progress(args.messages);
        let done = published && (!pending || progress.committed < args.messages);
        let rows = rows(groups, stats);
        board.draw(output, progress, &rows, done)?;
        if done {
            return Ok(());
        }
        let work = amount(progress, groups);
        if work != moved.1 {
            moved = (Instant::now(), work);
        } else if moved.0.elapsed() > PATIENCE {
            return Err(Failure::Accounting(format!(
                "nothing has moved for {} s, and messages are pending",
                PATIENCE.as_secs()
            )));
        }
    }
}

fn rows(groups: &[Group], stats: Vec<GroupStats>) -> Vec<(Group, GroupStats)> {
    let mut by_name: HashMap<GroupName, GroupStats> = stats
        .into_iter()
        .map(|stats| (stats.group.clone(), stats))
        .collect();
    groups
        .iter()
        .filter_map(|group| Some((group.clone(), by_name.remove(&group.name)?)))
        .collect()
}

/// Grows with anything that happens.
fn amount(progress: Progress, groups: &[Group]) -> u64 {
    let counts = groups.iter().flat_map(|group| group.sightings.counts());
    progress.committed + progress.rolled_back + counts.sum::<u64>()
}
