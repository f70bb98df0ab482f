//! The memory engine against the acceptor, and its modes against each other.

use fanout_tests::campaign::Campaign;
use fanout_tests::subject::on_memory_in_all_modes;

/// The same number everywhere, so that the same histories run everywhere.
const PARTS: usize = 4;

#[test]
fn e1_memory_does_what_the_acceptor_allows_in_every_mode() {
    let campaign = Campaign::everyday(
        20_000,
        60,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/equivalence/regressions/memory.txt"
        ),
    );
    let test = |history: &_| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime starts");
        let (_, seen) = runtime.block_on(on_memory_in_all_modes(history))?;
        Ok(seen)
    };
    let coverage = campaign.must_pass(vec![test; PARTS]);
    println!("memory\n{coverage}");
}
