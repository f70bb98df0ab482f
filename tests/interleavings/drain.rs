//! What comes after the sessions: everything that is owed is delivered and settled.

use std::collections::BTreeSet;
use std::sync::Arc;

use fanout_core::{Backend, BackendExt, Clock, GroupName, Member, Settlement, Verdict};

use crate::facts::Reading;
use crate::history::{Event, Happened};
use crate::runner::Runner;
use crate::stage::Stage;
use crate::step::{Group, Step};
use crate::story::Story;

/// Fetches that a group gets for a handful of messages.
const FETCHES: usize = 12;

/// Lets the sessions vanish, and handles what they left; returns all that happened.
pub(crate) async fn finish(
    stage: &Stage,
    runner: &mut Runner,
    events: Vec<Event>,
) -> Result<Story, String> {
    runner.vanish().await;
    stage.expire();
    let maintained = stage.judge.maintain().await;
    maintained.map_err(|error| format!("maintenance fails: {error}"))?;
    let before_drain = stage.facts().await;
    let mut drain = Drain {
        stage,
        session: runner.sessions(),
        round: runner.round(),
        events: Vec::new(),
        members: Vec::new(),
    };
    for reading in before_drain.live() {
        let drained = drain.group(reading).await;
        drained.map_err(|error| format!("the drain of {} fails: {error}", reading.group))?;
    }
    let after_drain = stage.facts().await;
    for member in drain.members {
        member
            .leave()
            .await
            .map_err(|error| format!("leaving fails: {error}"))?;
    }
    runner.dismiss().await;
    Ok(Story {
        last_round: runner.round(),
        events: events.into_iter().chain(drain.events).collect(),
        before_drain,
        after_drain,
    })
}

struct Drain<'a> {
    stage: &'a Stage,
    session: usize,
    round: u64,
    events: Vec<Event>,
    members: Vec<Arc<dyn Member>>,
}

impl Drain<'_> {
    async fn group(&mut self, reading: &Reading) -> fanout_core::Result<()> {
        let (judge, topic) = (&self.stage.judge, &self.stage.topic.name);
        let group = group_of(&reading.group);
        let name = GroupName::new(reading.group.clone())?;
        let member = judge.join_group(topic, &name).await?;
        self.members.push(member.clone());
        let mut left: BTreeSet<i64> = reading.pending.clone();
        for _ in 0..FETCHES {
            let deliveries = member.fetch(100).await?.deliveries;
            self.note(
                Step::Fetch(group, 100),
                Happened::Fetched(deliveries.clone()),
            );
            if deliveries.is_empty() {
                if left.is_empty() {
                    break;
                }
                continue;
            }
            let settlements: Vec<_> = deliveries
                .iter()
                .map(|delivery| Settlement::done(delivery.receipt))
                .collect();
            let outcomes = member.settle(&settlements).await?;
            for delivery in &deliveries {
                left.remove(&delivery.message.id.0);
            }
            let settled = deliveries
                .into_iter()
                .zip(outcomes)
                .map(|(delivery, outcome)| (delivery, Verdict::Done, outcome));
            self.note(Step::Settle, Happened::Settled(settled.collect()));
        }
        Ok(())
    }

    fn note(&mut self, step: Step, happened: Happened) {
        self.round += 1;
        self.events.push(Event {
            session: self.session,
            step,
            began: self.round,
            resumed: self.round,
            ended: self.round,
            clock: self.stage.clock.now(),
            happened,
        });
    }
}

fn group_of(name: &str) -> Group {
    [Group::Unordered, Group::Keyed, Group::Blocking]
        .into_iter()
        .find(|group| group.name() == name)
        .expect("a group of these tests")
}
