//! Runs all interleavings of plays.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use fanout_tests::size::full;

use crate::checks;
use crate::drain;
use crate::history::Event;
use crate::planted::Flaw;
use crate::runner::Runner;
use crate::schedule::Interleavings;
use crate::script::Play;
use crate::sight::{self, Sight};
use crate::stage::Stage;

/// A topic and the sessions that meet on it, for plays with as many sessions.
#[derive(Debug)]
pub(crate) struct Campaign {
    stage: Stage,
    runner: Runner,
    interleavings: usize,
    began: Instant,
}

impl Campaign {
    pub(crate) async fn new(sessions: usize, lanes: u16, flaw: Option<&Flaw>) -> Self {
        let stage = Stage::new(lanes, flaw).await;
        Self {
            runner: Runner::new(&stage, sessions).await,
            stage,
            interleavings: 0,
            began: Instant::now(),
        }
    }

    /// Runs all interleavings of a play; the error tells what is wrong with the first that breaks a
    /// promise, step by step.
    pub(crate) async fn run(&mut self, play: &Play) -> Result<(), String> {
        let mut seen: BTreeSet<Sight> = BTreeSet::new();
        for order in Interleavings::of(&play.lengths()) {
            self.interleavings += 1;
            self.stage.renew(play.mode).await;
            let (events, checked) = self.one(play, &order).await;
            seen.extend(sight::seen(&events));
            if let Err(why) = checked {
                return Err(told(play, &order, &events, &why));
            }
        }
        match play.sights.iter().find(|sight| !seen.contains(sight)) {
            Some(sight) => Err(format!(
                "{}: no interleaving came to {sight:?}, only to {seen:?}",
                play.name
            )),
            None => Ok(()),
        }
    }

    /// Runs one interleaving of a play; the error tells what is wrong with it.
    pub(crate) async fn run_one(&mut self, play: &Play, order: &[usize]) -> Result<(), String> {
        self.stage.renew(play.mode).await;
        let (events, checked) = self.one(play, order).await;
        checked.map_err(|why| told(play, order, &events, &why))
    }

    /// Runs interleavings of a play until one breaks a promise, and returns it; none if none does.
    pub(crate) async fn first_to_break(
        &mut self,
        play: &Play,
        promise: &str,
    ) -> Option<Vec<usize>> {
        for order in Interleavings::of(&play.lengths()) {
            self.interleavings += 1;
            self.stage.renew(play.mode).await;
            let (_, checked) = self.one(play, &order).await;
            if checked.is_err_and(|why| why.contains(promise)) {
                return Some(order);
            }
        }
        None
    }

    async fn one(&mut self, play: &Play, order: &[usize]) -> (Vec<Event>, Result<(), String>) {
        let events = match self.runner.run(&self.stage, play, order).await {
            Ok(events) => events,
            Err(why) => return (self.runner.events().to_vec(), Err(why)),
        };
        match drain::finish(&self.stage, &mut self.runner, events.clone()).await {
            Ok(story) => {
                let checked = checks::check(&story);
                (story.events, checked)
            }
            Err(why) => (events, Err(why)),
        }
    }

    /// Prints what was run.
    #[allow(
        clippy::print_stdout,
        reason = "the figures are part of what the test is for"
    )]
    pub(crate) fn report(&self, family: &str) {
        let (count, took) = (self.interleavings, self.began.elapsed());
        println!("{family}: {count} interleavings in {} s", took.as_secs());
    }
}

fn told(play: &Play, order: &[usize], events: &[Event], why: &str) -> String {
    let mut told = format!("{}, order {order:?}: {why}", play.name);
    for event in events {
        let _ = write!(told, "\n  {event}");
    }
    told
}

/// All interleavings of some plays keep all promises.
pub(crate) async fn hold(family: &str, lanes: u16, mut plays: Vec<Play>) {
    plays.retain(|play| !play.large || full());
    let sessions = plays.iter().map(|play| play.scripts.len()).max();
    let mut campaign = Campaign::new(sessions.unwrap_or(0), lanes, None).await;
    // Of the whole, for a call that hangs outside of a step.
    let limit = Duration::from_secs(6 * 3600);
    let all = async {
        for play in &plays {
            if let Err(why) = campaign.run(play).await {
                panic!("{why}");
            }
        }
    };
    tokio::time::timeout(limit, all)
        .await
        .expect("it does not hang");
    campaign.report(family);
}
