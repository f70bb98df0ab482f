//! A consumer that behaves at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use fanout_core::{Delivery, Member, OnFailure, Outcome, Settlement};

use super::{Chance, Ledger};

/// Settlements that a worker saw refused.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusals {
    pub(crate) stale: u64,
    pub(crate) fenced: u64,
    pub(crate) out_of_order: u64,
}

impl Refusals {
    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Stale => self.stale += 1,
            Outcome::Fenced => self.fenced += 1,
            Outcome::OutOfOrder => self.out_of_order += 1,
            Outcome::Applied | Outcome::Retry { .. } | Outcome::DeadLettered => {}
        }
    }
}

/// Fetches and settles at random: in pieces, out of order, with failures.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) member: Arc<dyn Member>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) chance: Chance,
    /// Most messages of a fetch.
    pub(crate) batch: usize,
    /// Of a hundred messages, how many fail.
    pub(crate) failing: usize,
    pub(crate) refusals: Refusals,
    /// How many messages it holds that it has not settled, as far as it knows.
    pub(crate) in_hand: Arc<AtomicUsize>,
}

impl Worker {
    pub(crate) fn new(member: Arc<dyn Member>, ledger: &Arc<Ledger>, seed: u64) -> Self {
        Self {
            member,
            ledger: ledger.clone(),
            chance: Chance::new(seed),
            batch: 20,
            failing: 0,
            refusals: Refusals::default(),
            in_hand: Arc::default(),
        }
    }

    fn group(&self) -> String {
        self.member.subscription().group.to_string()
    }

    /// Fetches, and notes what it got.
    pub(crate) async fn fetch(&mut self) -> Vec<Delivery> {
        let limit = 1 + self.chance.below(self.batch);
        let fetched = self.member.fetch(limit).await.expect("a fetch succeeds");
        assert!(
            fetched.gaps.is_empty(),
            "there are gaps: {:?}",
            fetched.gaps
        );
        let deliveries = fetched.deliveries;
        assert!(deliveries.len() <= limit);
        self.in_hand.store(deliveries.len(), Relaxed);
        self.ledger.delivered(&self.group(), &deliveries);
        deliveries
    }

    /// Settles in pieces, until nothing is in hand.
    pub(crate) async fn settle(&mut self, mut open: Vec<Delivery>) {
        let mut pieces = 1 + self.chance.below(3);
        while !open.is_empty() && pieces > 0 {
            pieces -= 1;
            self.chance.shuffle(&mut open);
            let now = match pieces {
                0 => open.len(),
                _ => 1 + self.chance.below(open.len()),
            };
            let piece = open.split_off(open.len() - now);
            open.extend(self.settle_piece(piece).await);
        }
        // Behind a message of the key that is not in hand any more.
        let releases: Vec<_> = open
            .iter()
            .map(|d| Settlement::release(d.receipt))
            .collect();
        if !releases.is_empty() {
            let outcomes = self.member.settle(&releases).await.expect("releases");
            outcomes
                .iter()
                .for_each(|outcome| self.refusals.note(*outcome));
            let ended = open.iter().zip(outcomes);
            let released = ended.filter(|(_, outcome)| *outcome == Outcome::Applied);
            let released = released.map(|(delivery, _)| delivery.message.id);
            self.ledger.released(&self.group(), released);
        }
        self.in_hand.store(0, Relaxed);
    }

    /// Settles some deliveries in one call; returns those that it must not settle yet.
    pub(crate) async fn settle_piece(&mut self, piece: Vec<Delivery>) -> Vec<Delivery> {
        let settlements: Vec<Settlement> = piece
            .iter()
            .map(|delivery| {
                if self.chance.percent(self.failing) {
                    Settlement::fail(delivery.receipt, "by chance")
                } else {
                    Settlement::done(delivery.receipt)
                }
            })
            .collect();
        let began = self.ledger.stamp();
        let outcomes = self
            .member
            .settle(&settlements)
            .await
            .expect("a settlement succeeds");
        let subscription = self.member.subscription();
        let parks = subscription.options.on_failure == OnFailure::Park;
        let ids = piece.iter().map(|delivery| delivery.message.id);
        self.ledger.settled(
            &self.group(),
            began,
            parks,
            ids.zip(outcomes.iter().copied()),
        );
        let mut again = Vec::new();
        for (delivery, outcome) in piece.into_iter().zip(outcomes) {
            self.refusals.note(outcome);
            if outcome == Outcome::OutOfOrder {
                again.push(delivery);
            }
        }
        again
    }

    /// Fetches and settles; tells how many messages it got.
    pub(crate) async fn turn(&mut self) -> usize {
        let deliveries = self.fetch().await;
        let got = deliveries.len();
        self.settle(deliveries).await;
        got
    }
}
