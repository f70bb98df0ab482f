//! Settling, by members.

use std::collections::BTreeSet;

use fanout_core::{Backoff, ErrorKind, Outcome, Result, SubscriptionOptions, Timestamp, Verdict};

use super::dead::Dead;
use super::incarnation::{How, Settled};
use super::ordering::Release;
use super::{Acceptor, Checked, Currency, Held, Seat, Turn, Violation, check, expect_error};
use crate::coverage::Event;

/// What the settlements of one call did so far, in the order in which they are judged.
#[derive(Debug, Default)]
struct Call {
    judged: BTreeSet<Held>,
    /// The lanes that a failure blocked.
    blocked: BTreeSet<u16>,
}

impl Acceptor {
    /// A member settled deliveries.
    pub fn on_settle(
        &mut self,
        seat: Seat,
        session: u32,
        settled: &[(Held, Verdict)],
        answer: &Result<Vec<Outcome>>,
        now: Timestamp,
    ) -> Checked {
        let foreign = |(held, _): &(Held, Verdict)| self.handed[*held].seat.reader != seat.reader;
        if settled.iter().any(foreign) {
            self.saw(Event::ForeignReceipt);
            return expect_error("settle", answer, &[ErrorKind::ForeignReceipt]);
        }
        let outcomes = answer
            .as_ref()
            .map_err(|error| Violation::refused("settle", error))?;
        check!(
            outcomes.len() == settled.len(),
            "settle: {} settlements, {} outcomes",
            settled.len(),
            outcomes.len()
        );
        let mut call = Call::default();
        for number in self.judged(seat, settled, outcomes, now) {
            let ((held, verdict), outcome) = (&settled[number], outcomes[number]);
            if outcome.is_effective() && self.handed[*held].session != session {
                self.saw(Event::SettledByAnother);
            }
            self.on_outcome(seat, *held, verdict, outcome, &mut call, now)
                .map_err(|violation| {
                    violation.during(format_args!("settle: {:?}", self.handed[*held]))
                })?;
        }
        Ok(())
    }

    fn on_outcome(
        &mut self,
        seat: Seat,
        held: Held,
        verdict: &Verdict,
        outcome: Outcome,
        call: &mut Call,
        now: Timestamp,
    ) -> Checked {
        let currency = self.currency_for(seat, held, now);
        let turn = match verdict {
            Verdict::Release => Turn::Now,
            _ => self.turn(held, |_| false),
        };
        let again = !call.judged.insert(held);
        if currency == Currency::Expired {
            self.saw(Event::ExpiredReceipt);
        }
        match outcome {
            // A receipt is used once in a call, also when that was in vain.
            Outcome::Stale if again => Ok(()),
            Outcome::Stale | Outcome::Fenced => {
                check!(
                    currency != Currency::Certain,
                    "the lease is open now={now}, got {outcome:?}"
                );
                self.saw(Event::StaleReceipt);
                self.handed[held].spent = true;
                self.void(held, currency);
                Ok(())
            }
            Outcome::OutOfOrder => {
                check!(
                    currency != Currency::Stale && turn != Turn::Now,
                    "the receipt is {currency:?}, its turn is {turn:?}, got {outcome:?}"
                );
                self.saw(Event::OutOfOrder);
                self.vouch(held);
                Ok(())
            }
            Outcome::Applied | Outcome::Retry { .. } | Outcome::DeadLettered => {
                check!(
                    currency != Currency::Stale,
                    "the receipt is stale, got {outcome:?}"
                );
                check!(
                    turn != Turn::Later,
                    "an earlier message of the key is neither settled nor parked, got {outcome:?}"
                );
                self.handed[held].spent = true;
                self.apply(held, verdict, outcome, call, now)
            }
        }
    }

    /// The engine said that a receipt of this currency is stale: so it stays.
    pub(super) fn void(&mut self, held: Held, currency: Currency) {
        if !matches!(currency, Currency::Expired | Currency::Doubtful) {
            return;
        }
        let (seat, message) = (self.handed[held].seat, self.handed[held].message);
        if let Some(owed) = self.incarnation_mut(seat).owed.get_mut(&message) {
            // The lease is over, and engines may count that at once.
            owed.stalls += 1;
            owed.give_back();
        }
    }

    /// The engine said that a receipt is good after all.
    fn vouch(&mut self, held: Held) {
        let (seat, message) = (self.handed[held].seat, self.handed[held].message);
        let owed = self.incarnation_mut(seat).owed.get_mut(&message);
        if let Some(lease) = owed.and_then(|owed| owed.lease.as_mut()) {
            lease.doubtful = false;
        }
    }

    fn apply(
        &mut self,
        held: Held,
        verdict: &Verdict,
        outcome: Outcome,
        call: &mut Call,
        now: Timestamp,
    ) -> Checked {
        let (seat, message) = (self.handed[held].seat, self.handed[held].message);
        let contested: Vec<_> = self.pledged_in(seat, message).collect();
        let incarnation = self.incarnation_mut(seat);
        let options = incarnation.subscription.options.clone();
        let Some(owed) = incarnation.owed.get_mut(&message) else {
            return Err(Violation::new("the message is not owed"));
        };
        let attempt = owed.failures + 1;
        let how = match (verdict, outcome) {
            (Verdict::Done, Outcome::Applied) => How::Done,
            (Verdict::Skip, Outcome::Applied) => How::Skipped,
            (Verdict::Release, Outcome::Applied) => {
                owed.give_back();
                self.saw(Event::Release);
                return Ok(());
            }
            (Verdict::Fail(error), Outcome::Retry { due }) if attempt < options.max_attempts => {
                check_due(&options, attempt, due, now)?;
                owed.failures = attempt;
                owed.last_error = Some(error.clone());
                owed.due = Some(due);
                self.saw(Event::Retry);
                return self.set_aside(seat, message, call);
            }
            (Verdict::Fail(error), Outcome::DeadLettered) if attempt >= options.max_attempts => {
                self.dead.push(Dead {
                    at: now,
                    reader: seat.reader,
                    message,
                    attempts: attempt,
                    last_error: Some(error.clone()),
                });
                self.saw(Event::DeadLetter);
                How::DeadLettered
            }
            _ => {
                return Err(Violation::new(format!(
                    "{verdict:?} of attempt {attempt} of {} gave {outcome:?}",
                    options.max_attempts
                )));
            }
        };
        for tx in contested {
            self.transaction_mut(tx).contested = true;
            self.saw(Event::SettledTwiceAtOnce);
        }
        if how == How::Skipped {
            self.saw(Event::Skip);
        }
        self.settle(seat, message, how, false);
        Ok(())
    }

    /// A message failed and is to be tried again: it waits by itself, or its lane waits for it.
    fn set_aside(&mut self, seat: Seat, message: usize, call: &mut Call) -> Checked {
        let (tracked, blocks) = (self.tracks(seat, message), self.blocks(seat));
        let Some(owed) = self.incarnation_mut(seat).owed.get_mut(&message) else {
            return Err(Violation::new("the message is not owed"));
        };
        let place = owed.lease.take().map(|lease| lease.place);
        if tracked {
            return Ok(());
        }
        if !blocks {
            owed.parked = true;
            self.saw(Event::Parked);
            return Ok(());
        }
        let lane = self.lane(message);
        check!(
            call.blocked.insert(lane),
            "two failures block lane {lane}: one of them must release the other"
        );
        for release in self.block(seat, message, &place.unwrap_or_default()) {
            self.saw(match release {
                Release::Certain(_) => Event::HandEmptied,
                Release::Doubtful(_) => Event::HandUnclear,
            });
        }
        self.saw(Event::Blocked);
        Ok(())
    }

    /// The subscription owes the message no more.
    pub(super) fn settle(&mut self, seat: Seat, message: usize, how: How, in_transaction: bool) {
        let (tracked, lane) = (self.tracks(seat, message), self.lane(message));
        let blocks = self.blocks(seat);
        let incarnation = self.incarnation_mut(seat);
        let Some(owed) = incarnation.owed.remove(&message) else {
            // Both got through, and what the transaction settled is there beside.
            if let Some(settled) = incarnation.settled.get_mut(&message) {
                settled.in_transaction |= in_transaction;
            }
            return;
        };
        if let Some(due) = owed.due.filter(|_| blocks && owed.lease.is_none()) {
            incarnation.lingering.push((lane, due));
        }
        let settled = Settled {
            how,
            attempts: owed.failures + 1,
            in_transaction,
        };
        incarnation.settled.insert(message, settled);
        incarnation.lane_stalls.remove(&lane);
        if tracked {
            self.published[message].completed.insert(seat);
        }
    }
}

/// A failure is due again after the backoff, give or take its jitter.
fn check_due(
    options: &SubscriptionOptions,
    failures: u32,
    due: Timestamp,
    now: Timestamp,
) -> Checked {
    let Backoff {
        initial,
        max,
        multiplier,
        jitter,
    } = options.backoff;
    let exponent = i32::try_from(failures - 1).unwrap_or(i32::MAX);
    let middle = (initial.as_secs_f64() * multiplier.powi(exponent)).min(max.as_secs_f64());
    let wait = (due.as_micros() - now.as_micros()) as f64 / 1e6;
    let (least, most) = (middle * (1.0 - jitter), middle * (1.0 + jitter));
    check!(
        wait >= least - 2e-6 && wait <= most + 2e-6,
        "failure {failures} waits {wait} s, must be {least} to {most} s"
    );
    Ok(())
}
