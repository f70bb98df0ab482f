use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What has happened in an exploration, so that it cannot be vacuous.
#[derive(Debug, Default)]
pub(crate) struct Reached(AtomicU64);

macro_rules! events {
    ($($event:ident),+ $(,)?) => {
        /// A kind of step, or of its outcome.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Event { $($event),+ }

        impl Event {
            pub(crate) const ALL: &[Self] = &[$(Self::$event),+];
        }
    };
}

events! {
    Published, CommittedLate, RolledBack, ModeChanged,
    TickLocked, TickEmpty, Ticked, TickedWhileOthersCommit,
    Decided, DecidedLater, Merged,
    Subscribed, CaughtUp, GivenByCatchUp,
    Taken, TakenFromAnother, Renewed, GivenUp, LaneLeaseEnded, Maintained,
    Entered, EnteredPromisedSpan, Extended, ExtendedBelow,
    HandedOut, HandedOutLate, TakenBack, Noted, Reread, LaneLost, Adopted,
    Settled, Parked, Blocked, Unblocked, OutOfOrder, StaleByCursor, Fenced,
    CommitOutrun, CommitRefused, CallDropped, OrphanExecuted, OrphanRefused, OrphanLost,
    Claimed, ClaimedParked, LeaseEnded, RowSettled, RowFailed, StaleByRow,
    SettlementInserted, SettlementConflict, ReceiptStaleInTx, SettledInTx, SettlementUndone,
    FoldedByCursor, Folded, Swept,
}

impl Reached {
    pub(crate) fn note(&self, event: Event) {
        let bit = 1 << event as u64;
        if self.0.load(Relaxed) & bit == 0 {
            self.0.fetch_or(bit, Relaxed);
        }
    }

    pub(crate) fn has(&self, event: Event) -> bool {
        self.0.load(Relaxed) & 1 << event as u64 != 0
    }
}
