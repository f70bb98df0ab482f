//! One member at work.

mod fetching;
mod leases;
mod ordering;
mod settling;

use std::collections::HashSet;
use std::sync::Arc;

use fanout_core::{
    Backend, Error, GroupName, JoinOptions, Member, MemberName, Ordering, Result, Settlement,
    TopicName, Verdict,
};
use tokio::time::{Instant, sleep, sleep_until};

use self::fetching::FetchDone;
use self::leases::ExtendDone;
use self::settling::SettleDone;
use super::Handler;
use super::call::Call;
use super::counters::{Tally, count};
use super::handlers::Handlers;
use super::heartbeat::Heartbeat;
use super::in_hand::{InHand, Ticket};
use super::queue::Queue;
use super::settings::Settings;
use super::turns::Lane;
use crate::pace::{Pace, ask_again};
use crate::stop::Stop;

/// What a consumer joins, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Post {
    pub(super) topic: TopicName,
    pub(super) group: Option<GroupName>,
    pub(super) name: Option<MemberName>,
}

pub(super) struct Session<H> {
    member: Arc<dyn Member>,
    handler: Arc<H>,
    settings: Settings,
    tally: Arc<Tally>,
    stop: Stop,
    heartbeat: Heartbeat,
    in_hand: InHand,
    /// Fetched, and not begun.
    queue: Queue,
    handlers: Handlers<H>,
    /// To be settled.
    verdicts: Vec<(Ticket, Settlement)>,
    /// How many of those, and of those that are being settled, are given back.
    given_back: usize,
    /// Lanes of which something was given back since the fetch under way began: what it brings of
    /// them is out of turn.
    stirred: HashSet<Lane>,
    fetching: Call<FetchDone>,
    settling: Call<SettleDone>,
    extending: Call<ExtendDone>,
    polling: Pace,
    fetch_errors: Pace,
    settle_errors: Pace,
    extend_errors: Pace,
    fetch_at: Instant,
    settle_at: Option<Instant>,
    /// Set by a stop: when to give up waiting for handlers and calls.
    give_up_at: Option<Instant>,
    /// It may have been handed messages that it does not know of.
    lost_track: bool,
    failure: Option<Error>,
}

/// How a session ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    /// Another member is to take its place.
    LostTrack,
}

impl<H: Handler> Session<H> {
    /// Joins, works until stopped, leaves; joins again when it has lost track.
    pub(super) async fn run<B: Backend + ?Sized>(
        backend: Arc<B>,
        post: Post,
        settings: Settings,
        handler: Arc<H>,
        tally: Arc<Tally>,
        stop: Stop,
    ) -> Result<()> {
        loop {
            let joined = tokio::select! {
                biased;
                () = stop.requested() => return Ok(()),
                joined = join(&*backend, &post, &tally) => joined?,
            };
            let (handler, tally, stop) = (Arc::clone(&handler), Arc::clone(&tally), stop.clone());
            match Self::new(joined, settings, handler, tally, stop)
                .work()
                .await?
            {
                End::Stopped => return Ok(()),
                End::LostTrack => {}
            }
        }
    }

    fn new(
        (member, queue): (Arc<dyn Member>, Queue),
        settings: Settings,
        handler: Arc<H>,
        tally: Arc<Tally>,
        stop: Stop,
    ) -> Self {
        Self {
            heartbeat: Heartbeat::start(Arc::clone(&member), Arc::clone(&tally)),
            in_hand: InHand::default(),
            queue,
            handlers: Handlers::new(Arc::clone(&handler), Arc::clone(&tally)),
            verdicts: Vec::new(),
            given_back: 0,
            stirred: HashSet::new(),
            fetching: Call::none(),
            settling: Call::none(),
            extending: Call::none(),
            polling: Pace::new(settings.poll_min, settings.poll_max),
            fetch_errors: Pace::of_errors(),
            settle_errors: Pace::of_errors(),
            extend_errors: Pace::of_errors(),
            fetch_at: Instant::now(),
            settle_at: None,
            give_up_at: None,
            lost_track: false,
            failure: None,
            member,
            handler,
            settings,
            tally,
            stop,
        }
    }

    async fn work(mut self) -> Result<End> {
        loop {
            let now = Instant::now();
            self.start_handlers(now);
            self.start_calls(now);
            if self.is_finished(now) {
                break;
            }
            let wake = self.wake_at();
            tokio::select! {
                () = self.stop.requested(), if self.give_up_at.is_none() => self.begin_stop(),
                error = self.heartbeat.ended(), if self.failure.is_none() => self.fail(error),
                verdicts = self.handlers.ended() => self.handled(verdicts),
                done = self.fetching.ended() => self.fetched(done),
                done = self.settling.ended() => self.settled(done),
                done = self.extending.ended() => self.extended(done),
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
        self.leave().await
    }

    fn start_handlers(&mut self, now: Instant) {
        while self.handlers.len() < self.settings.concurrency {
            let Some(ticket) = self.queue.next() else {
                return;
            };
            // Its lease may have ended while it waited: an extension, which is due by then, tells
            // whether it is still ours.
            if !self.in_hand.is_safe(ticket, now) {
                return;
            }
            if let Some(delivery) = self.queue.begin(ticket) {
                self.handlers.start(ticket, delivery);
            }
        }
    }

    fn start_calls(&mut self, now: Instant) {
        if self.wants_to_fetch() && self.fetch_at <= now {
            self.fetch(now);
        }
        if self.settle_due().is_some_and(|at| at <= now) {
            self.settle();
        }
        if self.extend_due().is_some_and(|at| at <= now) {
            self.extend(now);
        }
    }

    /// The next moment at which there is something to start.
    fn wake_at(&self) -> Option<Instant> {
        let fetch = self.wants_to_fetch().then_some(self.fetch_at);
        [fetch, self.settle_due(), self.extend_due(), self.give_up_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn is_finished(&self, now: Instant) -> bool {
        let idle =
            self.load() == 0 && !self.fetching.is_under_way() && !self.settling.is_under_way();
        match self.give_up_at {
            Some(give_up_at) => idle || give_up_at <= now,
            None => idle && self.lost_track,
        }
    }

    fn fail(&mut self, error: Error) {
        if self.failure.is_none() {
            self.failure = Some(error);
        }
        self.begin_stop();
    }

    fn begin_stop(&mut self) {
        if self.give_up_at.is_some() {
            return;
        }
        self.give_up_at = Some(Instant::now() + self.settings.grace);
        // What has not begun is given back now rather than when the last handler has ended.
        for ticket in self.queue.take_all() {
            self.judge(ticket, Verdict::Release);
        }
    }

    async fn leave(mut self) -> Result<End> {
        self.handlers.abort();
        drop(self.heartbeat);
        // Nobody drives these any more, and leaving may wait for them.
        drop((self.fetching, self.settling, self.extending));
        if self.give_up_at.is_none() {
            // Nothing is in hand that it knows of; if this fails the rest comes again after its lease.
            return match self.member.leave().await {
                Err(error) if !ask_again(error.kind()) => Err(error),
                _ => Ok(End::LostTrack),
            };
        }
        let mut errors = Pace::of_errors();
        let left = loop {
            match self.member.leave().await {
                Err(error) if ask_again(error.kind()) => {
                    count(&self.tally.errors);
                    let next = Instant::now() + errors.miss();
                    if self.give_up_at.is_none_or(|give_up| give_up <= next) {
                        break Err(error);
                    }
                    sleep_until(next).await;
                }
                left => break left,
            }
        };
        match self.failure {
            Some(failure) => Err(failure),
            None => left.map(|()| End::Stopped),
        }
    }

    fn note(&self, call: &'static str, error: &Error) {
        count(&self.tally.errors);
        tracing::warn!(member = %self.member.name(), call, %error, "call failed, trying again");
    }
}

/// Joins, however often it takes.
async fn join<B: Backend + ?Sized>(
    backend: &B,
    post: &Post,
    tally: &Tally,
) -> Result<(Arc<dyn Member>, Queue)> {
    let mut errors = Pace::of_errors();
    loop {
        match try_join(backend, post).await {
            Err(error) if ask_again(error.kind()) => {
                count(&tally.errors);
                tracing::warn!(topic = %post.topic, %error, "cannot join, trying again");
                sleep(errors.miss()).await;
            }
            joined => return joined,
        }
    }
}

/// Joins, and makes the queue that fits the group.
async fn try_join<B: Backend + ?Sized>(
    backend: &B,
    post: &Post,
) -> Result<(Arc<dyn Member>, Queue)> {
    let lanes = backend.topic(&post.topic).await?.config.lanes;
    let options = match &post.name {
        Some(name) => JoinOptions::named(name.clone()),
        None => JoinOptions::default(),
    };
    let member = backend
        .join(&post.topic, post.group.as_ref(), options)
        .await?;
    let queue = match member.subscription().options.ordering {
        Ordering::Unordered => Queue::default(),
        Ordering::PerKey => Queue::in_order(lanes),
    };
    Ok((member, queue))
}
