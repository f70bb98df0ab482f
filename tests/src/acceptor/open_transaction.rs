//! A transaction that is open.

use std::collections::BTreeSet;

use super::{Acceptor, Seat};
use crate::op::Purpose;
use crate::published::{Moment, Ordinal};

/// What a transaction does if it commits.
#[derive(Clone, Debug)]
pub struct OpenTransaction {
    pub began: Moment,
    pub purpose: Purpose,
    pub published: Vec<Ordinal>,
    pub pledged: BTreeSet<(Seat, Ordinal)>,
    pub doom: Option<Doom>,
    /// Somebody else settled a message that it settles.
    pub contested: bool,
    /// It has published, and then somebody published or subscribed.
    pub overtaken: bool,
}

/// Why a transaction can only be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doom {
    /// The engine found a settlement impossible: a commit must fail.
    Broken,
    /// A call was refused, and the caller must roll back; what a commit would do is not defined.
    Refused,
}

impl OpenTransaction {
    pub(super) const fn new(purpose: Purpose, began: Moment) -> Self {
        Self {
            began,
            purpose,
            published: Vec::new(),
            pledged: BTreeSet::new(),
            doom: None,
            contested: false,
            overtaken: false,
        }
    }
}

impl Acceptor {
    pub fn transaction(&self, tx: u8) -> &OpenTransaction {
        &self.transactions[&tx]
    }

    pub(super) fn transaction_mut(&mut self, tx: u8) -> &mut OpenTransaction {
        self.transactions
            .get_mut(&tx)
            .expect("a transaction is named while it is open")
    }

    pub fn has_open_transactions(&self) -> bool {
        !self.transactions.is_empty()
    }

    /// The open transactions that settle a message for a subscription.
    pub fn pledged_in(&self, seat: Seat, message: Ordinal) -> impl Iterator<Item = u8> {
        self.transactions
            .iter()
            .filter(move |(_, open)| open.pledged.contains(&(seat, message)))
            .map(|(tx, _)| *tx)
    }
}
