//! Fetching: few calls for many messages, rarer while there is nothing.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{ErrorKind, Fetched, Result, Verdict};
use tokio::time::Instant;

use super::Session;
use crate::consumer::Handler;
use crate::consumer::counters::add;
use crate::pace::ask_again;

pub(super) struct FetchDone {
    asked: Instant,
    lease: Duration,
    result: Result<Fetched>,
}

impl<H: Handler> Session<H> {
    /// What was fetched and is not being settled.
    pub(super) fn load(&self) -> usize {
        self.queue.len() + self.handlers.len() + self.verdicts.len()
    }

    /// Below half of a batch, so that fetches are few and large.
    pub(super) fn wants_to_fetch(&self) -> bool {
        self.give_up_at.is_none()
            && !self.fetching.is_under_way()
            && self.given_back == 0
            && !self.lost_track
            && self.load() <= self.settings.batch_size / 2
    }

    pub(super) fn fetch(&mut self, asked: Instant) {
        self.stirred.clear();
        let limit = self.settings.batch_size - self.load();
        let member = Arc::clone(&self.member);
        let lease = member.subscription().options.lease;
        self.fetching.begin(async move {
            FetchDone {
                asked,
                lease,
                result: member.fetch(limit).await,
            }
        });
    }

    pub(super) fn fetched(&mut self, done: FetchDone) {
        let fetched = match done.result {
            Ok(fetched) => fetched,
            Err(error) if ask_again(error.kind()) => {
                self.note("fetch", &error);
                // What it may have been handed comes before whatever it would fetch now.
                self.lost_track = error.kind() == ErrorKind::Unknown && self.queue.keeps_order();
                self.fetch_at = Instant::now() + self.fetch_errors.miss();
                return;
            }
            Err(error) => return self.fail(error),
        };
        self.fetch_errors.hit();
        for gap in &fetched.gaps {
            tracing::warn!(?gap, member = %self.member.name(), "messages were lost");
            add(&self.tally.gaps, gap.count);
        }
        let now = Instant::now();
        self.fetch_at = if fetched.deliveries.is_empty() {
            now + self.polling.miss()
        } else {
            self.polling.hit();
            now
        };
        add(&self.tally.delivered, fetched.deliveries.len() as u64);
        for delivery in fetched.deliveries {
            let ticket = self.in_hand.take(delivery.receipt, done.asked, done.lease);
            let lane = self.queue.lane_of(&delivery);
            if self.give_up_at.is_some() || lane.is_some_and(|lane| self.stirred.contains(&lane)) {
                self.judge(ticket, Verdict::Release);
            } else {
                self.queue.push(ticket, delivery);
            }
        }
    }
}
