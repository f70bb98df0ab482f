//! What histories must have met for a run to count.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something that makes a history interesting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Redelivery,
    StaleReceipt,
    LateCommit,
    TransactionalSettlement,
    DeadLetter,
    PauseWithBacklog,
    Cancel,
    Parked,
    Blocked,
    OutOfOrder,
    Takeover,
    ModeChangeWithBacklog,
    Seek,
    StartInThePast,

    Retry,
    Release,
    Skip,
    Extension,
    ForeignReceipt,
    ExpiredReceipt,
    SettledByAnother,
    SubscribedBesidePublisher,
    SubscribedAnew,
    CancelledBesidePublisher,
    PublishRolledBack,
    SettlementRolledBack,
    SettledTwiceAtOnce,
    /// A blocking failure released what came after it.
    HandEmptied,
    /// Whether a blocking failure released a message was the engine's to say.
    HandUnclear,
    /// A settlement in a transaction was out of order.
    OutOfOrderInTransaction,
    SeekBesideTransaction,
    ModeChangeBesidePublisher,
    /// A subscription owed messages of both kinds of accounting.
    OwesOfBothKinds,
    RedeliveredInTransaction,
    DoomedTransaction,
    WritesBlocked,
    DeletionRefused,
    BadInput,
}

impl Event {
    /// Those that a run must have met in a tenth of its histories.
    const REQUIRED: [Self; 14] = [
        Self::Redelivery,
        Self::StaleReceipt,
        Self::LateCommit,
        Self::TransactionalSettlement,
        Self::DeadLetter,
        Self::PauseWithBacklog,
        Self::Cancel,
        Self::Parked,
        Self::Blocked,
        Self::OutOfOrder,
        Self::Takeover,
        Self::ModeChangeWithBacklog,
        Self::Seek,
        Self::StartInThePast,
    ];
}

/// What one history met.
pub type Seen = BTreeSet<Event>;

/// How many histories met what.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    histories: usize,
    met: BTreeMap<Event, usize>,
}

impl Coverage {
    pub fn add(&mut self, seen: &Seen) {
        self.histories += 1;
        for event in seen {
            *self.met.entry(*event).or_default() += 1;
        }
    }

    pub fn add_all(&mut self, other: &Self) {
        self.histories += other.histories;
        for (event, met) in &other.met {
            *self.met.entry(*event).or_default() += met;
        }
    }

    /// # Panics
    /// When a required event was met by less than a tenth of the histories.
    pub fn check(&self) {
        for event in Event::REQUIRED {
            let met = self.met.get(&event).copied().unwrap_or(0);
            assert!(
                met * 10 >= self.histories,
                "only {met} of {} histories met {event:?}\n{self}",
                self.histories
            );
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<26} {:>6}", "histories", self.histories)?;
        for (event, met) in &self.met {
            let required = if Event::REQUIRED.contains(event) {
                "  required"
            } else {
                ""
            };
            let share = 100.0 * *met as f64 / self.histories.max(1) as f64;
            writeln!(
                f,
                "{:<26} {met:>6} {share:>5.1} %{required}",
                format!("{event:?}")
            )?;
        }
        Ok(())
    }
}
