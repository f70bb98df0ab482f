//! The model without a mistake has no counterexample, within any of the bounds.

use fanout_tests::size::full;
use stateright::{Checker, Model};

use crate::bounds::Bounds;
use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::report::report;
use crate::scenarios as s;

/// Explores all of it.
fn explore(bounds: Bounds, events: &[Event]) {
    let bounds = if full() { bounds.larger() } else { bounds };
    let (name, model) = (bounds.name, Fanout::new(bounds, Mistake::None));
    let reached = model.reached.clone();
    // No limit of states, depth or time: it ends when nothing is left, or when all properties are broken.
    let checker = model.checker().spawn_bfs().join();
    let states = checker.unique_state_count();
    report(&format!(
        "bounds=`{name}` states=`{states}` steps=`{}` depth=`{}`",
        checker.state_count(),
        checker.max_depth()
    ));
    if let Some((property, path)) = checker.discoveries().into_iter().next() {
        panic!(
            "broken property=`{property}` bounds=`{name}` by {:?}",
            path.into_actions()
        );
    }
    assert!(checker.is_done(), "bounds=`{name}` is not explored");
    assert!(
        states >= bounds.least_states,
        "too few states bounds=`{name}` states=`{states}`"
    );
    for event in events {
        assert!(
            reached.has(*event),
            "never happens event=`{event:?}` bounds=`{name}`"
        );
    }
}

macro_rules! sound {
    ($($test:ident: $bounds:ident reaches $($event:ident)+;)+) => {
        $(
            #[test]
            fn $test() {
                explore(s::$bounds, &[$(Event::$event),+]);
            }
        )+

        #[test]
        fn every_event_is_reached_somewhere() {
            let reached = [$($(Event::$event),+),+];
            for event in Event::ALL {
                assert!(reached.contains(event), "nothing reaches event=`{event:?}`");
            }
        }
    };
}

sound! {
    ticks: TICKS reaches
        Published CommittedLate RolledBack TickLocked TickEmpty Ticked TickedWhileOthersCommit
        Decided DecidedLater Merged Renewed;
    extending: EXTENDING reaches Extended ExtendedBelow TakenBack Settled OutOfOrder StaleByCursor;
    leases: LEASES reaches
        Taken TakenFromAnother Renewed GivenUp LaneLeaseEnded Entered EnteredPromisedSpan HandedOut
        HandedOutLate TakenBack Reread LaneLost Settled Fenced CommitOutrun LeaseEnded;
    dropped_calls: DROPPED_CALLS reaches
        CallDropped OrphanExecuted OrphanRefused OrphanLost Reread Adopted Extended;
    merging: MERGING reaches Merged Maintained Renewed TakenFromAnother EnteredPromisedSpan;
    parking: PARKING reaches Parked ClaimedParked RowSettled TakenFromAnother OutOfOrder;
    blocking: BLOCKING reaches Blocked Unblocked TakenFromAnother OutOfOrder;
    transactions_by_cursor: CURSOR_TX reaches
        Noted CommitRefused SettlementInserted SettlementConflict ReceiptStaleInTx SettledInTx
        SettlementUndone FoldedByCursor Folded Swept Maintained Parked;
    transactions_in_order: ORDERED_TX reaches OutOfOrder SettledInTx SettlementUndone FoldedByCursor;
    lost_failures: LOST_FAILURE reaches
        CallDropped OrphanExecuted Parked SettledInTx Swept Folded;
    both_kinds_of_settlement: MIXED_TX reaches Settled SettledInTx CommitRefused Swept;
    rows: ROWS reaches
        Claimed LeaseEnded RowSettled RowFailed StaleByRow SettledInTx SettlementUndone
        ReceiptStaleInTx Folded;
    modes: MODES reaches ModeChanged Claimed RowSettled HandedOut Settled;
    modes_in_order: ORDERED_MODES reaches ModeChanged HandedOut Settled OutOfOrder;
    starts_now: STARTS_NOW reaches Subscribed CaughtUp GivenByCatchUp Claimed;
    starts_at_a_message: STARTS_AT_TWO reaches Subscribed EnteredPromisedSpan ExtendedBelow;
    whole: WHOLE reaches
        CommittedLate ModeChanged Ticked TakenFromAnother LaneLeaseEnded HandedOutLate LaneLost
        Fenced Parked Claimed RowSettled SettledInTx SettlementConflict FoldedByCursor Folded;
}
