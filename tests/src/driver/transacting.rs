//! Transactions.

use fanout_core::{Receipt, Transactional};

use super::Driver;
use crate::acceptor::{Checked, Currency, Doom, Held, Turn, Violation};
use crate::handler::Handling;
use crate::op::{Pick, Purpose, Source};
use crate::reader::Reader;

/// Most open transactions at a time.
const SLOTS: u8 = 3;

impl<B: Transactional> Driver<'_, B> {
    /// Opens a transaction, if there is a free slot.
    pub(super) async fn open(&mut self, purpose: Purpose) -> Checked<Option<u8>> {
        let Some(tx) = (0..SLOTS).find(|tx| !self.open.contains_key(tx)) else {
            return Ok(None);
        };
        let open = self
            .backend
            .begin()
            .await
            .map_err(|error| Violation::refused("begin", &error))?;
        self.open.insert(tx, open);
        self.acceptor.on_open(tx, purpose);
        Ok(Some(tx))
    }

    pub(super) async fn settle_in(
        &mut self,
        tx: u8,
        reader: Reader,
        source: Source,
        pick: Pick,
    ) -> Checked {
        let found = match self.find_open(tx) {
            None => self.open(Purpose::Settle).await?,
            found => found,
        };
        let Some(tx) = found else {
            return Ok(());
        };
        if self.acceptor.transaction(tx).doom.is_some() {
            return Ok(());
        }
        let picked = std::iter::once(reader)
            .chain(Reader::ALL)
            .map(|reader| self.pick_in(tx, reader, source, pick))
            .find(|picked| !picked.is_empty())
            .unwrap_or_default();
        let receipts: Vec<Receipt> = picked
            .iter()
            .map(|held| self.acceptor.handed(*held).receipt)
            .collect();
        let Some(open) = self.open.get_mut(&tx) else {
            return Ok(());
        };
        let answer = self.backend.settle_in(open.tx(), &receipts).await;
        self.acceptor.on_settle_in(tx, &picked, &answer, self.now())
    }

    fn pick_in(&self, tx: u8, reader: Reader, source: Source, pick: Pick) -> Vec<Held> {
        let picked: Vec<_> = self
            .pick_for_reader(reader, source, pick)
            .into_iter()
            .filter(|held| self.may_settle_in(tx, *held))
            .collect();
        match self.purpose(tx) {
            Purpose::Settle => picked,
            Purpose::Transform => self.certain(tx, reader, picked),
        }
    }

    /// A transaction settles as done only what the handler would, and nothing that another open
    /// transaction settles.
    fn may_settle_in(&self, tx: u8, held: Held) -> bool {
        let handed = self.acceptor.handed(held);
        let handling = self
            .handler
            .handle(handed.seat.reader, handed.message, handed.attempt)
            .in_the_end();
        handling == Handling::Done && !self.acceptor.is_pledged_elsewhere(tx, held)
    }

    /// Those that must be valid and in order, each message once.
    fn certain(&self, tx: u8, reader: Reader, mut picked: Vec<Held>) -> Vec<Held> {
        let mut messages = self.acceptor.transaction(tx).pledged.clone();
        // As they were delivered, so that one makes way for the next.
        picked.sort_unstable();
        picked
            .into_iter()
            .filter(|held| {
                let handed = self.acceptor.handed(*held);
                handed.seat.reader == reader
                    && self.acceptor.currency(*held, self.now()) == Currency::Certain
                    && self.acceptor.turn_in(tx, *held, &messages) == Turn::Now
                    && messages.insert((handed.seat, handed.message))
            })
            .collect()
    }

    pub(super) async fn commit(&mut self, tx: u8) -> Checked {
        if self.acceptor.transaction(tx).doom == Some(Doom::Refused) {
            return self.rollback(tx).await;
        }
        let Some(open) = self.open.remove(&tx) else {
            return Ok(());
        };
        let answer = open.commit().await;
        self.acceptor.on_commit(tx, &answer)
    }

    pub(super) async fn rollback(&mut self, tx: u8) -> Checked {
        let Some(open) = self.open.remove(&tx) else {
            return Ok(());
        };
        let answer = open.rollback().await;
        self.acceptor.on_rollback(tx, &answer)
    }
}
