//! How every history ends.

use std::mem;
use std::time::Duration;

use fanout_core::{SubscriptionStatus, Transactional};

use super::{Driver, FAR, Seated};
use crate::acceptor::{Checked, Violation};
use crate::handler::Handling;
use crate::reader::Reader;

/// Rounds of handling everything that is due after which a history is given up: more than any has
/// failures that hold each other up.
const ROUNDS: usize = 400;
/// So many of them in a row may deliver nothing.
const IDLE_ROUNDS: usize = 6;
/// How many messages a drain fetches at once.
const BATCH: usize = 3;
/// So many empty fetches in a row show that nothing is due.
const EMPTY_FETCHES: usize = 2;
/// So many rounds of maintenance may find something to do.
const MAINTENANCE: usize = 50;

impl<B: Transactional> Driver<'_, B> {
    /// Ends what is open, lets all leases end, and handles everything until nothing is owed.
    pub(super) async fn drain(&mut self) -> Checked {
        while let Some(tx) = self.find_open(0) {
            self.commit(tx).await?;
        }
        for reader in Reader::ALL {
            if self.acceptor.status(reader) == Some(SubscriptionStatus::Paused) {
                self.resume(reader).await?;
            }
        }
        let mut members = mem::take(&mut self.members);
        members.retain(|member| self.members_stay && self.acceptor.is_live(member.seat));
        let now = self.now();
        let last = self.acceptor.open_until(now).into_iter().max();
        self.clock.set(last.unwrap_or(now));

        for seat in self.acceptor.live().collect::<Vec<_>>() {
            if members.iter().all(|member| member.seat != seat) {
                members.extend(self.join(seat.reader).await?);
            }
        }
        let mut idle = 0;
        for _ in 0..ROUNDS {
            // Nobody holds anything under a lease any more.
            let due = self.acceptor.all_due(self.now());
            self.clock.set(due + FAR);
            if self.maintained {
                self.maintain().await?;
            }
            let mut delivered = 0;
            for member in &members {
                delivered += self.drain_group(member).await?;
            }
            if members
                .iter()
                .all(|member| self.acceptor.owes(member.seat) == 0)
            {
                return self.rest().await;
            }
            idle = if delivered > 0 { 0 } else { idle + 1 };
            if idle == IDLE_ROUNDS {
                break;
            }
        }
        let left: Vec<_> = members
            .iter()
            .map(|member| (member.seat, self.acceptor.owes(member.seat)))
            .collect();
        Err(Violation::new(format!("not drained, left are {left:?}")))
    }

    /// Fetches and handles until nothing comes; returns how much came.
    async fn drain_group(&mut self, member: &Seated) -> Checked<usize> {
        let (mut delivered, mut empty) = (0, 0);
        while empty < EMPTY_FETCHES {
            let fetched = self.fetch(member, BATCH).await?;
            if fetched.is_empty() {
                empty += 1;
                continue;
            }
            empty = 0;
            delivered += fetched.len();
            let handled: Vec<_> = fetched
                .into_iter()
                .filter_map(|held| Some((held, self.verdict(held, Handling::in_the_end)?)))
                .collect();
            self.settle(member, &handled).await?;
        }
        Ok(delivered)
    }

    /// Maintains until there is nothing more to do.
    async fn rest(&mut self) -> Checked {
        for _ in 0..MAINTENANCE {
            // What is done at most once in a while is done in each round.
            self.clock.advance(Duration::from_secs(2));
            if self.maintain().await? {
                return Ok(());
            }
        }
        Err(Violation::new("maintenance never comes to rest"))
    }
}
