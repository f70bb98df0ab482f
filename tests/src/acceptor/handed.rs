//! A receipt that an engine handed out.

use fanout_core::{Receipt, Timestamp};

use super::{Acceptor, Seat};
use crate::published::Ordinal;

/// A receipt and what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Handed {
    pub receipt: Receipt,
    pub seat: Seat,
    pub message: Ordinal,
    pub attempt: u32,
    /// The session of the member that got it.
    pub session: u32,
    /// It was settled, in the eyes of whoever settled it.
    pub spent: bool,
}

/// The number of a handed receipt.
pub type Held = usize;

/// Whether a receipt is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Currency {
    /// Its lease is open.
    Certain,
    /// Its lease has expired, and the message was not delivered again: valid or not, as the engine
    /// says, and then it stays so.
    Expired,
    /// A failure in its lane released it or not, as the engine says.
    Doubtful,
    /// The message was delivered again, settled, released, or is not owed any more.
    Stale,
}

impl Acceptor {
    pub fn handed(&self, held: Held) -> &Handed {
        &self.handed[held]
    }

    pub fn all_handed(&self) -> impl DoubleEndedIterator<Item = (Held, &Handed)> {
        self.handed.iter().enumerate()
    }

    /// Whether a receipt is valid now.
    pub fn currency(&self, held: Held, now: Timestamp) -> Currency {
        let handed = &self.handed[held];
        let lease = self
            .incarnation(handed.seat)
            .owed
            .get(&handed.message)
            .and_then(|owed| owed.lease.as_ref());
        match lease {
            Some(lease) if lease.handed != held => Currency::Stale,
            Some(lease) if lease.doubtful => Currency::Doubtful,
            Some(lease) if lease.until > now => Currency::Certain,
            Some(_) => Currency::Expired,
            None => Currency::Stale,
        }
    }

    /// Whether a receipt is valid in the hands of a member of a subscription: only of its own, not
    /// of an earlier or later one of the same group.
    pub(super) fn currency_for(&self, seat: Seat, held: Held, now: Timestamp) -> Currency {
        if self.handed[held].seat == seat {
            self.currency(held, now)
        } else {
            Currency::Stale
        }
    }
}
