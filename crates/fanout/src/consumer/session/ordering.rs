//! Keeping order: what is out of turn is given back, to come again in its turn.
//!
//! The engine delivers the messages of a key in order, as long as what is given back arrives before
//! the next fetch begins. So no fetch begins while anything is being given back, and of a fetch that
//! was under way then the lanes concerned are given back too.

use fanout_core::{OnFailure, Outcome, Verdict};

use super::Session;
use crate::consumer::Handler;
use crate::consumer::in_hand::Ticket;
use crate::consumer::turns::Lane;

impl<H: Handler> Session<H> {
    /// Whether a failure makes the whole lane wait. Where nobody wants order there are no lanes.
    pub(super) fn blocks(&self) -> bool {
        self.member.subscription().options.on_failure == OnFailure::Block
    }

    /// Gives back what has not begun of a lane, or of it only what was delivered after `after`.
    pub(super) fn give_back(&mut self, lane: Lane, after: Option<Ticket>) {
        if self.fetching.is_under_way() {
            self.stirred.insert(lane);
        }
        for ticket in self.queue.take_lane(lane, after) {
            self.judge(ticket, Verdict::Release);
        }
    }

    /// What the outcome of a settlement means for those that come after it.
    pub(super) fn concluded(&mut self, ticket: Ticket, verdict: &Verdict, outcome: Outcome) {
        if *verdict == Verdict::Release {
            self.given_back -= 1;
            return;
        }
        let Some((lane, waited)) = self.queue.forget(ticket) else {
            return;
        };
        match outcome {
            Outcome::Applied | Outcome::DeadLettered => {}
            // Where the lane blocks, what came after the failure is not ours any more.
            Outcome::Retry { .. } => {
                if waited {
                    self.give_back(lane, Some(ticket));
                }
            }
            // Somebody else may have the message, and what follows it must wait for that.
            Outcome::Stale | Outcome::Fenced | Outcome::OutOfOrder => self.give_back(lane, None),
        }
    }
}
