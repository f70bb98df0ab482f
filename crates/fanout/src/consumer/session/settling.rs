//! Settling: what handlers made of their deliveries, many in one call.

use std::sync::Arc;

use fanout_core::{Outcome, Result, Settlement, Verdict};
use tokio::time::Instant;

use super::Session;
use crate::consumer::Handler;
use crate::consumer::counters::count;
use crate::consumer::in_hand::Ticket;
use crate::pace::ask_again;

pub(super) struct SettleDone {
    settled: Vec<(Ticket, Settlement)>,
    result: Result<Vec<Outcome>>,
}

impl<H: Handler> Session<H> {
    pub(super) fn handled(&mut self, verdicts: Vec<(Ticket, Verdict)>) {
        for (ticket, verdict) in verdicts {
            if verdict == Verdict::Done {
                self.queue.handled(ticket);
            } else {
                self.queue.failed(ticket, self.blocks());
            }
            self.judge(ticket, verdict);
        }
    }

    pub(super) fn judge(&mut self, ticket: Ticket, verdict: Verdict) {
        let Some(receipt) = self.in_hand.receipt(ticket) else {
            // Its lease was lost while it was handled; the message comes, or came, again.
            count(&self.tally.refused);
            self.queue.forget(ticket);
            return;
        };
        if verdict == Verdict::Release {
            self.given_back += 1;
        }
        if self.verdicts.is_empty() && self.settle_at.is_none() {
            self.settle_at = Some(Instant::now() + self.settings.settle_after);
        }
        self.verdicts
            .push((ticket, Settlement { receipt, verdict }));
    }

    /// When to settle: at once when nothing is at work that it could wait for, when something waits
    /// for it, or half of a batch has come together; else a little later, to settle more in one call.
    pub(super) fn settle_due(&self) -> Option<Instant> {
        if self.verdicts.is_empty() || self.settling.is_under_way() {
            return None;
        }
        let alone = self.handlers.len() == 0 && self.queue.is_empty();
        let many = self.verdicts.len() >= self.settings.batch_size.div_ceil(2);
        let at = self.settle_at.unwrap_or_else(Instant::now);
        let waits_for_database = self.settle_errors.is_waiting();
        let awaited = self.given_back > 0 || self.queue.waits_for_failure();
        let at_once = (alone || many || awaited) && !waits_for_database;
        Some(if at_once { at.min(Instant::now()) } else { at })
    }

    pub(super) fn settle(&mut self) {
        self.settle_at = None;
        let settled = std::mem::take(&mut self.verdicts);
        for (ticket, _) in &settled {
            self.in_hand.set_settling(*ticket, true);
        }
        let settlements: Vec<_> = settled.iter().map(|(_, s)| s.clone()).collect();
        let member = Arc::clone(&self.member);
        self.settling.begin(async move {
            SettleDone {
                settled,
                result: member.settle(&settlements).await,
            }
        });
    }

    pub(super) fn settled(&mut self, done: SettleDone) {
        match done.result {
            Ok(outcomes) => {
                self.settle_errors.hit();
                for ((ticket, settlement), outcome) in done.settled.into_iter().zip(outcomes) {
                    self.tally.settled(&settlement.verdict, outcome);
                    self.handler.settled(&settlement, outcome);
                    self.concluded(ticket, &settlement.verdict, outcome);
                    if outcome == Outcome::OutOfOrder {
                        // Its receipt is good: without this it would wait for its lease to end.
                        self.in_hand.set_settling(ticket, false);
                        self.judge(ticket, Verdict::Release);
                    } else {
                        self.in_hand.drop(ticket);
                    }
                }
            }
            Err(error) if ask_again(error.kind()) => {
                self.note("settle", &error);
                for (ticket, _) in &done.settled {
                    self.in_hand.set_settling(*ticket, false);
                }
                self.verdicts.splice(0..0, done.settled);
                self.settle_at = Some(Instant::now() + self.settle_errors.miss());
            }
            Err(error) => {
                for (ticket, settlement) in &done.settled {
                    self.in_hand.drop(*ticket);
                    self.queue.forget(*ticket);
                    self.given_back -= usize::from(settlement.verdict == Verdict::Release);
                }
                self.fail(error);
            }
        }
    }
}
