//! Each planted mistake has a counterexample, to a property that is named.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::bounds::Bounds;
use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::properties as p;
use crate::report::report;
use crate::scenarios as s;

/// A mistake must be found within so many states.
const PATIENCE: usize = 3_000_000;

fn catch(mistake: Mistake, bounds: Bounds, property: &'static str) {
    let finish = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = Fanout::new(bounds, mistake).checker();
    let checker = checker.target_state_count(PATIENCE).finish_when(finish);
    let checker = checker.spawn_bfs().join();
    let (states, name) = (checker.unique_state_count(), bounds.name);
    let Some(path) = checker.discovery(property) else {
        let found: Vec<_> = checker.discoveries().into_keys().collect();
        panic!(
            "not caught mistake=`{mistake:?}` bounds=`{name}` states=`{states}` found=`{found:?}`"
        );
    };
    report(&format!(
        "{mistake:?} | {property} | {name} | {states} states | {:?}",
        path.into_actions()
    ));
}

macro_rules! planted {
    ($($test:ident: $mistake:ident in $bounds:ident trips $property:ident;)+) => {
        $(
            #[test]
            fn $test() {
                catch(Mistake::$mistake, s::$bounds, p::$property);
            }
        )+

        #[test]
        fn every_property_is_tripped_by_some_mistake() {
            let tripped = [$(p::$property),+];
            for property in p::ALL {
                assert!(tripped.contains(&property), "nothing trips property=`{property}`");
            }
        }

        #[test]
        fn every_mistake_is_planted() {
            let planted = [$(Mistake::$mistake),+];
            for mistake in Mistake::ALL {
                assert!(planted.contains(mistake), "is not planted mistake=`{mistake:?}`");
            }
        }
    };
}

planted! {
    a_tick_in_one_statement: TickInOneStatement in TICKS trips TICKS_GROW;
    a_tick_that_reads_the_newest_before_its_lock: TickReadsNewestBeforeLock in TICKS trips SPANS_PARTITION;
    deciding_in_the_wrong_order: DecidedInWrongOrder in TICKS trips DRAINED;
    a_publish_lock_after_the_id: PublishLockAfterId in TICKS trips DRAINED;
    a_tick_that_reads_the_decided_id_late: TickReadsDecidedLate in TICKS trips DRAINED;
    merging_a_tick_at_which_the_cursor_stands: MergesTickOfCursor in MERGING trips DRAINED;
    merging_a_tick_that_a_member_needs: MergesTickOfMember in MERGING trips DRAINED;
    reading_above_the_last_id: ReadsAboveLast in EXTENDING trips NO_LOSS;
    extending_without_restating: ExtendsWithoutRestating in EXTENDING trips NO_LOSS;
    rereading_without_a_fence: RereadsWithoutFence in DROPPED_CALLS trips EXCLUSIVE_LEASE;
    forgetting_a_promised_span: ForgetsPromisedSpan in LEASES trips DRAINED;
    no_check_of_the_epoch: NoEpochCheck in LEASES trips FENCING;
    no_check_of_the_version: NoVersionCheck in DROPPED_CALLS trips FORWARD;
    taking_without_an_epoch: TakesWithoutEpoch in LEASES trips FENCING;
    taking_a_leased_lane: TakesLeased in LEASES trips EXCLUSIVE_LEASE;
    ignoring_the_delivery: IgnoresDelivery in LEASES trips STALE_RECEIPTS;
    ignoring_the_token: IgnoresToken in ROWS trips STALE_RECEIPTS;
    claiming_what_is_leased: ClaimsLeased in ROWS trips EXCLUSIVE_LEASE;
    passing_a_failed_message: PassesFailed in PARKING trips NO_LOSS;
    settling_out_of_order: SettlesOutOfOrder in LEASES trips SETTLEMENT_ORDER;
    settling_out_of_order_in_transactions: SettlesOutOfOrderInTx in ORDERED_TX trips SETTLEMENT_ORDER;
    handing_out_backwards: HandsOutBackwards in LEASES trips DELIVERY_ORDER;
    an_ordered_group_that_takes_rows: OrderedGroupTakesRows in ORDERED_MODES trips DELIVERY_ORDER;
    forgetting_the_old_path: ForgetsOldPath in MODES trips DRAINED;
    a_cursor_that_takes_tracked_messages: CursorTakesTracked in MODES trips ONE_SETTLEMENT;
    no_tracking_row: NoTrackingRow in ROWS trips NO_LOSS;
    no_catching_up: NoCatchUp in STARTS_NOW trips NO_LOSS;
    catching_up_once: CatchesUpOnce in STARTS_NOW trips NO_LOSS;
    starting_one_late: StartsOneLate in STARTS_AT_TWO trips NO_LOSS;
    starting_one_early: StartsOneEarly in STARTS_AT_TWO trips NOTHING_ELSE;
    checking_before_the_insert: ChecksBeforeInsert in ROWS trips ONE_SETTLEMENT;
    no_check_in_transactions: NoCheckInTx in ROWS trips ONE_SETTLEMENT;
    no_unique_settlement: NoUniqueSettlement in CURSOR_TX trips ONE_SETTLEMENT;
    ignoring_settlements: IgnoresSettlements in MIXED_TX trips ONE_SETTLEMENT;
    folding_by_cursor_what_is_parked: FoldsParkedByCursor in LOST_FAILURE trips ONE_SETTLEMENT;
    folding_twice: FoldsTwice in ROWS trips ONE_FOLD;
    folding_what_is_not_committed: FoldsUncommitted in ROWS trips NO_LOSS;
    folding_in_two_transactions: FoldsInTwoTransactions in ROWS trips ONE_SETTLEMENT;
    claiming_what_is_settled: ClaimsSettled in ROWS trips ONE_SETTLEMENT;
}
