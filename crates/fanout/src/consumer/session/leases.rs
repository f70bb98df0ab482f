//! Keeping the leases of what is in hand.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Extension, Result};
use tokio::time::Instant;

use super::Session;
use crate::consumer::Handler;
use crate::consumer::counters::count;
use crate::consumer::in_hand::Ticket;
use crate::pace::ask_again;

pub(super) struct ExtendDone {
    tickets: Vec<Ticket>,
    asked: Instant,
    lease: Duration,
    result: Result<Vec<Extension>>,
}

impl<H: Handler> Session<H> {
    pub(super) fn extend_due(&self) -> Option<Instant> {
        if self.extending.is_under_way() {
            return None;
        }
        self.in_hand.next_extension()
    }

    pub(super) fn extend(&mut self, asked: Instant) {
        let (tickets, receipts): (Vec<_>, Vec<_>) = self.in_hand.due(asked).into_iter().unzip();
        if receipts.is_empty() {
            return;
        }
        let member = Arc::clone(&self.member);
        let lease = member.subscription().options.lease;
        self.extending.begin(async move {
            ExtendDone {
                tickets,
                asked,
                lease,
                result: member.extend(&receipts, lease).await,
            }
        });
    }

    pub(super) fn extended(&mut self, done: ExtendDone) {
        match done.result {
            Ok(extensions) => {
                self.extend_errors.hit();
                for (ticket, extension) in done.tickets.into_iter().zip(extensions) {
                    match extension {
                        Extension::Extended { .. } => {
                            count(&self.tally.extended);
                            self.in_hand.extended(ticket, done.asked, done.lease);
                        }
                        Extension::Stale => self.lose(ticket),
                    }
                }
            }
            Err(error) => {
                // Also when the consumer ends because of it: handlers that run may take a while.
                let at = Instant::now() + self.extend_errors.miss();
                for ticket in done.tickets {
                    self.in_hand.retry_at(ticket, at);
                }
                if ask_again(error.kind()) {
                    self.note("extend", &error);
                } else {
                    self.fail(error);
                }
            }
        }
    }

    /// Somebody else has the message now, or it is settled. A handler that runs is left to end:
    /// stopping it halfway would help nobody.
    pub(super) fn lose(&mut self, ticket: Ticket) {
        if self.in_hand.is_settling(ticket) {
            return;
        }
        self.in_hand.drop(ticket);
        let lane = self.queue.lane(ticket);
        if self.queue.remove(ticket) {
            count(&self.tally.lost);
        }
        if let Some(lane) = lane {
            self.give_back(lane, None);
        }
    }
}
