//! Transactions.

use std::collections::BTreeSet;

use fanout_core::{ErrorKind, ReceiptForm, Result, Timestamp};

use super::incarnation::How;
use super::{
    Acceptor, Checked, Currency, Doom, Held, OpenTransaction, Seat, Turn, Violation, check,
    expect_error,
};
use crate::coverage::Event;
use crate::op::Purpose;
use crate::published::{Fate, Ordinal};

impl Acceptor {
    pub fn on_open(&mut self, tx: u8, purpose: Purpose) {
        let began = self.next_moment();
        self.transactions
            .insert(tx, OpenTransaction::new(purpose, began));
    }

    /// Deliveries were settled in an open transaction.
    pub fn on_settle_in(
        &mut self,
        tx: u8,
        settled: &[Held],
        answer: &Result<()>,
        now: Timestamp,
    ) -> Checked {
        let mut readers = settled.iter().map(|held| self.handed[*held].seat.reader);
        let first = readers.next();
        if readers.any(|reader| Some(reader) != first) {
            self.saw(Event::ForeignReceipt);
            self.transaction_mut(tx).doom = Some(Doom::Refused);
            return expect_error("settle_in", answer, &[ErrorKind::ForeignReceipt]);
        }
        let messages: BTreeSet<_> = settled
            .iter()
            .map(|held| (self.handed[*held].seat, self.handed[*held].message))
            .collect();
        let twice = messages.len() < settled.len();
        let currencies: Vec<_> = settled
            .iter()
            .map(|held| self.currency(*held, now))
            .collect();
        let turns: Vec<_> = settled
            .iter()
            .map(|held| self.turn_in(tx, *held, &messages))
            .collect();
        let pledged_here = !messages.is_disjoint(&self.transactions[&tx].pledged);
        // A message that a transaction has settled may still conflict, until it is accounted for.
        let settled_in_transaction = messages.iter().any(|(seat, message)| {
            self.incarnation(*seat)
                .settled
                .get(message)
                .is_some_and(|settled| settled.in_transaction)
        });
        let must_be_stale = twice || pledged_here || currencies.contains(&Currency::Stale);
        let must_fail = must_be_stale || turns.contains(&Turn::Later);
        let mut allowed = Vec::new();
        if must_be_stale || currencies.iter().any(|one| *one != Currency::Certain) {
            allowed.extend([ErrorKind::StaleReceipt, ErrorKind::Fenced]);
        }
        if settled_in_transaction || pledged_here {
            allowed.push(ErrorKind::Conflict);
        }
        if turns.iter().any(|turn| *turn != Turn::Now) {
            allowed.push(ErrorKind::OutOfOrder);
        }
        match answer {
            Ok(()) => {
                check!(
                    !must_fail,
                    "settle_in: twice={twice} pledged={pledged_here} currencies={currencies:?} \
                     turns={turns:?}, got ok"
                );
                self.transaction_mut(tx).pledged.extend(messages);
            }
            Err(error) => {
                check!(
                    !allowed.is_empty(),
                    "settle_in: must succeed, got {:?}: {error}",
                    error.kind()
                );
                expect_error("settle_in", answer, &allowed)?;
                self.saw(match error.kind() {
                    ErrorKind::OutOfOrder => Event::OutOfOrderInTransaction,
                    _ => Event::StaleReceipt,
                });
                self.saw(Event::DoomedTransaction);
                // That a message stands twice, or a subscription has ended, and all about cursors,
                // can be found out without failing a statement, and then the database's transaction
                // goes on.
                let ended = messages.iter().any(|(seat, _)| !self.is_live(*seat));
                let by_cursor = settled.iter().any(|held| {
                    matches!(self.handed[*held].receipt.form(), ReceiptForm::Cursor(_))
                });
                let doom = if twice || ended || by_cursor {
                    Doom::Refused
                } else {
                    Doom::Broken
                };
                self.transaction_mut(tx).doom = Some(doom);
            }
        }
        Ok(())
    }

    /// Whether it is a message's turn to be settled in a transaction, after what it has settled and
    /// together with others.
    pub fn turn_in(&self, tx: u8, held: Held, with: &BTreeSet<(Seat, Ordinal)>) -> Turn {
        let seat = self.handed[held].seat;
        let pledged = &self.transactions[&tx].pledged;
        self.turn(held, |other| {
            pledged.contains(&(seat, other)) || with.contains(&(seat, other))
        })
    }

    pub fn on_commit(&mut self, tx: u8, answer: &Result<()>) -> Checked {
        let Some(open) = self.transactions.remove(&tx) else {
            return Err(Violation::new("commit: no such transaction"));
        };
        if open.doom.is_some() {
            check!(
                answer.is_err(),
                "commit: a settlement was refused, got {answer:?}"
            );
            self.undo(&open);
            return Ok(());
        }
        if open.contested && answer.is_err() {
            expect_error(
                "commit",
                answer,
                &[ErrorKind::Conflict, ErrorKind::StaleReceipt],
            )?;
            self.undo(&open);
            return Ok(());
        }
        answer
            .as_ref()
            .map_err(|error| Violation::refused("commit", error))?;
        for (seat, message) in &open.pledged {
            self.saw(Event::TransactionalSettlement);
            self.settle(*seat, *message, How::Done, true);
        }
        if !open.published.is_empty() {
            if open.overtaken {
                self.saw(Event::LateCommit);
            }
            self.overtake();
            self.commit_messages(&open.published);
        }
        Ok(())
    }

    pub fn on_rollback(&mut self, tx: u8, answer: &Result<()>) -> Checked {
        answer
            .as_ref()
            .map_err(|error| Violation::refused("rollback", error))?;
        if let Some(open) = self.transactions.remove(&tx) {
            self.undo(&open);
        }
        Ok(())
    }

    fn undo(&mut self, open: &OpenTransaction) {
        if !open.published.is_empty() {
            self.saw(Event::PublishRolledBack);
        }
        if !open.pledged.is_empty() {
            self.saw(Event::SettlementRolledBack);
        }
        for message in &open.published {
            self.published[*message].fate = Fate::RolledBack;
        }
    }

    /// Whether a plain settlement of the message must wait for the end of a transaction: one that
    /// publishes and settles it, so that what was published would hang on which of the two the
    /// engine lets through.
    pub fn is_reserved(&self, held: Held) -> bool {
        let handed = &self.handed[held];
        self.pledged_in(handed.seat, handed.message)
            .any(|tx| self.transactions[&tx].purpose == Purpose::Transform)
    }

    /// Whether another open transaction settles the message: on Postgres the second would wait for
    /// the first, and nobody would end it.
    pub fn is_pledged_elsewhere(&self, tx: u8, held: Held) -> bool {
        let handed = &self.handed[held];
        self.pledged_in(handed.seat, handed.message)
            .any(|other| other != tx)
    }
}
