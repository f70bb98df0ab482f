//! One group at work.

use std::sync::Arc;

use fanout::{
    Backend, BoxError, Consumer, Delivery, GroupName, Handler, Outcome, Result, Settlement,
    TopicName,
};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::behaviour::Behaviour;
use super::publisher::number_of;
use super::sightings::Sightings;

/// How many crashes there are at most.
const CRASHES: u64 = 8;

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) name: GroupName,
    pub(super) behaviour: Behaviour,
    pub(super) sightings: Arc<Sightings>,
    seed: u64,
    workers: usize,
    /// A member crashes whenever so many messages were handled.
    crash_every: u64,
    crash: Arc<Notify>,
}

impl Group {
    pub(super) fn new(index: usize, args: &super::Demo) -> Result<Self> {
        let behaviour = Behaviour::of(index);
        let round = index / 4;
        let name = match round {
            0 => behaviour.name().to_owned(),
            _ => format!("{}-{}", behaviour.name(), round + 1),
        };
        Ok(Self {
            name: GroupName::new(name)?,
            behaviour,
            sightings: Arc::default(),
            seed: args.seed.wrapping_add(index as u64),
            workers: args.workers.into(),
            crash_every: (args.messages / (CRASHES + 1)).max(1),
            crash: Arc::default(),
        })
    }

    /// Consumes until `stop` turns true.
    pub(super) async fn work<B: Backend + ?Sized>(
        self,
        backend: Arc<B>,
        topic: TopicName,
        stop: watch::Receiver<bool>,
    ) -> Result<()> {
        let mut workers = JoinSet::new();
        for _ in 0..self.workers {
            let work = self
                .clone()
                .worker(Arc::clone(&backend), topic.clone(), stop.clone());
            workers.spawn(work);
        }
        while let Some(ended) = workers.join_next().await {
            match ended {
                Ok(ended) => ended?,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// One member, and after a crash the next in its place.
    async fn worker<B: Backend + ?Sized>(
        self,
        backend: Arc<B>,
        topic: TopicName,
        stop: watch::Receiver<bool>,
    ) -> Result<()> {
        loop {
            let mut stop = stop.clone();
            let stopped = async move {
                // An error means that the demo is over, too.
                let _ = stop.wait_for(|stop| *stop).await;
            };
            let consumer = Consumer::group(Arc::clone(&backend), topic.clone(), self.name.clone())
                .batch_size(200)
                .concurrency(self.behaviour.concurrency());
            tokio::select! {
                ended = consumer.run_until(self.clone(), stopped) => return ended,
                // Dropping a consumer in the middle of its work is what a crash is.
                () = self.crash.notified() => self.sightings.crashed(),
            }
        }
    }

    fn crash_now_and_then(&self, attempts: u64) {
        if self.behaviour == Behaviour::Crashing
            && attempts.is_multiple_of(self.crash_every)
            && attempts / self.crash_every <= CRASHES
        {
            self.crash.notify_one();
        }
    }
}

impl Handler for Group {
    async fn handle(&self, delivery: &Delivery) -> Result<(), BoxError> {
        let message = &delivery.message;
        let number = number_of(&message.payload).ok_or("payload has no number")?;
        let attempts = self.sightings.handled(message.id, number);
        self.crash_now_and_then(attempts);
        if let Some(pace) = self.behaviour.pace() {
            tokio::time::sleep(pace).await;
        }
        if self.behaviour.fails(self.seed, number, delivery.attempt) {
            return Err(format!("message {number} did not work out").into());
        }
        Ok(())
    }

    fn settled(&self, settlement: &Settlement, outcome: Outcome) {
        let id = settlement.receipt.id();
        self.sightings.settled(id, &settlement.verdict, outcome);
    }
}
