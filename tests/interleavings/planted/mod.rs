//! The test of the test: the engine's SQL with one mistake at a time must be caught.

mod flaw;
mod flaws;

use std::time::Instant;

pub(crate) use flaw::Flaw;

use crate::campaign::Campaign;
use crate::checks;
use crate::families::{changing_mode, lifecycle, subscribing, takeover, ticking, transactions};
use crate::script::Play;

/// A script catches a mistake if one of its interleavings breaks the promise that is at stake, and the same
/// one breaks nothing without the mistake.
async fn caught(flaw: Flaw, plays: Vec<Play>, script: &str, promise: &str) {
    let play = plays
        .into_iter()
        .find(|play| play.name == script)
        .unwrap_or_else(|| panic!("there is no script {script}"));
    let (sessions, began) = (play.scripts.len(), Instant::now());
    let mut campaign = Campaign::new(sessions, 1, Some(&flaw)).await;
    let Some(broken) = campaign.first_to_break(&play, promise).await else {
        panic!("{} does not break {promise} in `{script}`", flaw.name);
    };
    campaign.report(&format!(
        "planted: {}: caught by `{script}`, {promise}, after {} ms",
        flaw.name,
        began.elapsed().as_millis()
    ));
    let mut sound = Campaign::new(sessions, 1, None).await;
    if let Err(why) = sound.run_one(&play, &broken).await {
        panic!("without {}: {why}", flaw.name);
    }
}

/// A test for each mistake: where it is planted, the script that catches it, and the promise that it breaks.
macro_rules! mistakes {
    ($($name:ident: $flaw:ident, $plays:expr, $script:literal, $promise:literal;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                caught(flaws::$flaw, $plays, $script, $promise).await;
            }
        )*

        const BROKEN: &[&str] = &[$($promise),*];
    };
}

mistakes! {
    a_tick_in_one_statement: TICK_IN_ONE_STATEMENT, ticking::two_tickers(),
        "two tickers and a late commit, offset-watermark", "6 ticks only grow";
    a_tick_by_ids: TICK_BY_IDS, ticking::late_commit_pairs(),
        "late commit, tick and fetch of Unordered, offset-watermark", "3 no loss";
    a_tick_that_counts_wrongly: TICK_COUNTS_WRONGLY, ticking::late_commit_pairs(),
        "late commit, tick and fetch of Unordered, offset-watermark", "7 spans partition the log";
    a_commit_without_epoch: COMMIT_WITHOUT_EPOCH, takeover::of_expired_lanes(),
        "settle against takeover of Unordered, offset-watermark", "9 fencing";
    a_commit_that_keeps_the_version: COMMIT_KEEPS_THE_VERSION, takeover::of_expired_lanes(),
        "settle against takeover of Unordered, offset-watermark", "8 cursors move forward";
    a_commit_over_settlements: COMMIT_WITHOUT_SETTLEMENTS, transactions::pairs(),
        "settle in against redelivery ReadCommitted, offset-watermark", "4 one effective settlement";
    lane_settlements_checked_first: SETTLE_LANES_CHECKS_FIRST, transactions::stopped(),
        "settle in stopped before it inserts, offset-watermark", "4 one effective settlement";
    row_settlements_checked_first: SETTLE_IN_CHECKS_FIRST, transactions::stopped(),
        "settle in stopped before it inserts, reference-counting", "4 one effective settlement";
    row_settlements_without_tokens: SETTLE_IGNORES_TOKENS, takeover::of_expired_lanes(),
        "settle against takeover of Unordered, reference-counting", "4 stale receipts";
    claims_of_leased_messages: CLAIM_IGNORES_LEASES, takeover::of_expired_lanes(),
        "settle against takeover of Unordered, reference-counting", "5 exclusive lease";
    claims_of_settled_messages: CLAIM_IGNORES_SETTLEMENTS, transactions::pairs(),
        "settle in against folding, reference-counting", "4 one effective settlement";
    catching_up_that_waits_for_nobody: CATCH_UP_WAITS_FOR_NOBODY, subscribing::against_publishers(),
        "subscribe Unordered Now against publish ReadCommitted, reference-counting", "3 no loss";
    catching_up_that_sets_no_bit: CATCH_UP_SETS_NO_BIT, subscribing::against_publishers(),
        "subscribe Unordered Now against publish ReadCommitted, reference-counting", "11 required set";
    tracking_under_old_snapshots: TRACKED_UNDER_OLD_SNAPSHOTS, subscribing::against_publishers(),
        "subscribe Unordered Now against publish RepeatableRead, reference-counting", "3 no loss";
    publishing_refused_under_old_snapshots: REFUSED_UNDER_OLD_SNAPSHOTS, subscribing::against_publishers(),
        "subscribe Unordered Now against publish RepeatableRead, reference-counting", "errors";
    messages_that_nobody_published: PUBLISHES_ANOTHER, ticking::late_commit_pairs(),
        "late commit, tick and fetch of Unordered, offset-watermark", "2 no phantom";
    cursors_that_begin_too_late: CURSORS_BEGIN_AT_THE_NEWEST, subscribing::in_the_middle(),
        "subscribe stopped behind its tick, offset-watermark", "3 no loss";
    lanes_taken_too_early: TAKES_OWNED_LANES, takeover::of_expired_lanes(),
        "settle against takeover of Unordered, offset-watermark", "5 exclusive lease";
    maintenance_that_loses: ADVANCES_OVER_WHAT_IS_OWED, ticking::late_commit_pairs(),
        "late commit and maintenance of Unordered, offset-watermark", "3 no loss";
    maintenance_that_leaves_the_first_of_a_key: ADVANCES_OVER_WHAT_IS_OWED, ticking::late_commit_pairs(),
        "late commit and maintenance of Keyed, offset-watermark", "10 order";
    a_watermark_that_waits_for_no_cursor: WATERMARK_IGNORES_CURSORS, ticking::late_commit_pairs(),
        "late commit and maintenance of Unordered, offset-watermark", "14 watermark";
    a_cancellation_that_does_not_fence: SEEK_KEEPS_CURSORS, lifecycle::pairs(),
        "settle against seek of Unordered, offset-watermark", "9 fencing";
    a_mode_change_that_forgets_rows: LOOK_FORGETS_ROWS, changing_mode::pairs(),
        "mode change against settle in of Unordered, offset-watermark", "3 no loss";
}

/// A check that no mistake trips would say nothing.
#[test]
fn every_check_is_tripped() {
    for (promise, _) in checks::CHECKS {
        assert!(BROKEN.contains(&promise), "{promise}");
    }
}
