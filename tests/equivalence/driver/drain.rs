//! How every history ends.

use std::time::Duration;

use fanout_core::{SubscriptionStatus, Transactional};

use super::Driver;
use crate::acceptor::{Checked, Seat, Violation};
use crate::handler::Handling;
use crate::reader::Reader;

/// Rounds in which everything that is due is handled. A message has at most five attempts.
const ROUNDS: usize = 12;
/// How many messages a drain fetches at once.
const BATCH: usize = 3;

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
        self.members.clear();
        let now = self.now();
        let last = self.acceptor.open_until(now).into_iter().max();
        self.clock.set(last.unwrap_or(now));

        for _ in 0..ROUNDS {
            let now = self.now();
            let due = self.acceptor.all_due(now);
            self.clock.set(due + Duration::from_millis(1));
            if self.maintained {
                self.maintain().await?;
            }
            let live: Vec<_> = self.acceptor.live().collect();
            for seat in &live {
                self.drain_group(*seat).await?;
            }
            if live.iter().all(|seat| self.acceptor.owes(*seat) == 0) {
                return self.maintain().await;
            }
        }
        let left: Vec<_> = self
            .acceptor
            .live()
            .map(|seat| (seat, self.acceptor.owes(seat)))
            .collect();
        Err(Violation::new(format!("not drained, left are {left:?}")))
    }

    /// Fetches and handles until a fetch returns nothing.
    async fn drain_group(&mut self, seat: Seat) -> Checked {
        let Some(member) = self.join(seat.reader).await? else {
            return Ok(());
        };
        loop {
            let fetched = self.fetch(&member, BATCH).await?;
            if fetched.is_empty() {
                return Ok(());
            }
            let handled: Vec<_> = fetched
                .into_iter()
                .filter_map(|held| Some((held, self.verdict(held, Handling::in_the_end)?)))
                .collect();
            self.settle(&member, &handled).await?;
        }
    }
}
