//! Settling, by members.

use fanout_core::{Backoff, ErrorKind, Outcome, Result, SubscriptionOptions, Timestamp, Verdict};

use super::dead::Dead;
use super::incarnation::{How, Settled};
use super::{Acceptor, Checked, Currency, Held, Seat, Violation, check, expect_error};
use crate::coverage::Event;

impl Acceptor {
    /// A member settled deliveries.
    pub(crate) fn on_settle(
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
        for ((held, verdict), outcome) in settled.iter().zip(outcomes) {
            if outcome.is_effective() && self.handed[*held].session != session {
                self.saw(Event::SettledByAnother);
            }
            self.on_outcome(seat, *held, verdict, *outcome, now)
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
        now: Timestamp,
    ) -> Checked {
        let currency = self.currency_for(seat, held, now);
        self.handed[held].spent = true;
        if currency == Currency::Expired {
            self.saw(Event::ExpiredReceipt);
        }
        if outcome == Outcome::Stale {
            check!(
                currency != Currency::Certain,
                "the lease is open now={now}, got stale"
            );
            self.saw(Event::StaleReceipt);
            if currency == Currency::Expired {
                self.void(held);
            }
            return Ok(());
        }
        check!(
            currency != Currency::Stale,
            "the receipt is stale, got {outcome:?}"
        );
        self.apply(held, verdict, outcome, now)
    }

    /// The engine said that an expired receipt is stale: so it stays.
    pub(super) fn void(&mut self, held: Held) {
        let (seat, message) = (self.handed[held].seat, self.handed[held].message);
        if let Some(owed) = self.incarnation_mut(seat).owed.get_mut(&message) {
            owed.lease = None;
            owed.due = None;
        }
    }

    fn apply(
        &mut self,
        held: Held,
        verdict: &Verdict,
        outcome: Outcome,
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
                owed.lease = None;
                owed.due = None;
                self.saw(Event::Release);
                return Ok(());
            }
            (Verdict::Fail(error), Outcome::Retry { due }) if attempt < options.max_attempts => {
                check_due(&options, attempt, due, now)?;
                owed.failures = attempt;
                owed.last_error = Some(error.clone());
                owed.due = Some(due);
                owed.lease = None;
                self.saw(Event::Retry);
                return Ok(());
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

    /// The subscription owes the message no more.
    pub(super) fn settle(&mut self, seat: Seat, message: usize, how: How, in_transaction: bool) {
        let incarnation = self.incarnation_mut(seat);
        let Some(owed) = incarnation.owed.remove(&message) else {
            return;
        };
        let settled = Settled {
            how,
            attempts: owed.failures + 1,
            in_transaction,
        };
        incarnation.settled.insert(message, settled);
        self.published[message].completed.insert(seat.reader);
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
