//! The test of the test: the engine's SQL with one mistake at a time must be caught.

mod flaw;
mod flaws;

use std::time::Instant;

pub(crate) use flaw::Flaw;

use crate::campaign::Campaign;
use crate::families::{changing_mode, lifecycle, subscribing, takeover, ticking, transactions};
use crate::script::Play;

/// A script catches a mistake if one of its interleavings breaks the promise that is at stake.
///
/// The scripts keep all promises without the mistake: that is what the tests of the families show.
async fn caught(flaw: Flaw, plays: Vec<Play>, script: &str, promise: &str) {
    let play = plays
        .into_iter()
        .find(|play| play.name == script)
        .unwrap_or_else(|| panic!("there is no script {script}"));
    let began = Instant::now();
    let mut campaign = Campaign::new(play.scripts.len(), 1, Some(&flaw)).await;
    let told = campaign.first_to_break(&play, promise).await;
    assert!(
        told.is_some(),
        "{} does not break {promise} in `{script}`",
        flaw.name
    );
    campaign.report(&format!(
        "planted: {}: caught by `{script}`, {promise}, after {} ms",
        flaw.name,
        began.elapsed().as_millis()
    ));
}

#[tokio::test]
async fn a_tick_in_one_statement() {
    let (flaw, plays) = (flaws::TICK_IN_ONE_STATEMENT, ticking::two_tickers());
    let script = "two tickers and a late commit, offset-watermark";
    caught(flaw, plays, script, "6 ticks only grow").await;
}

#[tokio::test]
async fn a_tick_by_ids() {
    let (flaw, plays) = (flaws::TICK_BY_IDS, ticking::late_commit_pairs());
    let script = "late commit, tick and fetch of Unordered, offset-watermark";
    caught(flaw, plays, script, "3 no loss").await;
}

#[tokio::test]
async fn a_commit_without_epoch() {
    let (flaw, plays) = (flaws::COMMIT_WITHOUT_EPOCH, takeover::of_expired_lanes());
    let script = "settle against takeover of Unordered, offset-watermark";
    caught(flaw, plays, script, "9 fencing").await;
}

#[tokio::test]
async fn a_commit_over_settlements() {
    let (flaw, plays) = (flaws::COMMIT_WITHOUT_SETTLEMENTS, transactions::pairs());
    let script = "settle in against redelivery ReadCommitted, offset-watermark";
    caught(flaw, plays, script, "4 one effective settlement").await;
}

#[tokio::test]
async fn lane_settlements_checked_first() {
    let (flaw, plays) = (flaws::SETTLE_LANES_CHECKS_FIRST, transactions::stopped());
    let script = "settle in stopped before it inserts, offset-watermark";
    caught(flaw, plays, script, "4 one effective settlement").await;
}

#[tokio::test]
async fn row_settlements_checked_first() {
    let (flaw, plays) = (flaws::SETTLE_IN_CHECKS_FIRST, transactions::stopped());
    let script = "settle in stopped before it inserts, reference-counting";
    caught(flaw, plays, script, "4 one effective settlement").await;
}

#[tokio::test]
async fn row_settlements_without_tokens() {
    let (flaw, plays) = (flaws::SETTLE_IGNORES_TOKENS, takeover::of_expired_lanes());
    let script = "settle against takeover of Unordered, reference-counting";
    caught(flaw, plays, script, "4 stale receipts").await;
}

#[tokio::test]
async fn claims_of_leased_messages() {
    let (flaw, plays) = (flaws::CLAIM_IGNORES_LEASES, takeover::of_expired_lanes());
    let script = "settle against takeover of Unordered, reference-counting";
    caught(flaw, plays, script, "5 exclusive lease").await;
}

#[tokio::test]
async fn claims_of_settled_messages() {
    let (flaw, plays) = (flaws::CLAIM_IGNORES_SETTLEMENTS, transactions::pairs());
    let script = "settle in against folding, reference-counting";
    caught(flaw, plays, script, "4 one effective settlement").await;
}

#[tokio::test]
async fn catching_up_that_waits_for_nobody() {
    let flaw = flaws::CATCH_UP_WAITS_FOR_NOBODY;
    let script = "subscribe Unordered Now against publish ReadCommitted, reference-counting";
    caught(flaw, subscribing::against_publishers(), script, "3 no loss").await;
}

#[tokio::test]
async fn tracking_under_old_snapshots() {
    let flaw = flaws::TRACKED_UNDER_OLD_SNAPSHOTS;
    let script = "subscribe Unordered Now against publish RepeatableRead, reference-counting";
    caught(flaw, subscribing::against_publishers(), script, "3 no loss").await;
}

#[tokio::test]
async fn cursors_that_begin_too_late() {
    let flaw = flaws::CURSORS_BEGIN_AT_THE_NEWEST;
    let script = "subscribe stopped behind its tick, offset-watermark";
    caught(flaw, subscribing::in_the_middle(), script, "3 no loss").await;
}

#[tokio::test]
async fn lanes_taken_too_early() {
    let (flaw, plays) = (flaws::TAKES_OWNED_LANES, takeover::of_expired_lanes());
    let script = "settle against takeover of Unordered, offset-watermark";
    caught(flaw, plays, script, "5 exclusive lease").await;
}

#[tokio::test]
async fn maintenance_that_loses() {
    let flaw = flaws::ADVANCES_OVER_WHAT_IS_OWED;
    let script = "late commit and maintenance of Unordered, offset-watermark";
    caught(flaw, ticking::late_commit_pairs(), script, "3 no loss").await;
}

#[tokio::test]
async fn a_cancellation_that_does_not_fence() {
    let (flaw, plays) = (flaws::SEEK_KEEPS_CURSORS, lifecycle::pairs());
    let script = "settle against seek of Unordered, offset-watermark";
    caught(flaw, plays, script, "9 fencing").await;
}

#[tokio::test]
async fn a_mode_change_that_forgets_rows() {
    let (flaw, plays) = (flaws::LOOK_FORGETS_ROWS, changing_mode::pairs());
    let script = "mode change against settle in of Unordered, offset-watermark";
    caught(flaw, plays, script, "3 no loss").await;
}
