//! The memory engine against the acceptor.

use crate::campaign::Campaign;
use crate::subject::on_memory;

#[test]
fn e1_memory_does_what_the_acceptor_allows() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime starts");
    let campaign = Campaign::everyday(
        1_000,
        60,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/equivalence/regressions/memory.txt"
        ),
    );
    let coverage = campaign.must_pass(|history| {
        let (_, seen) = runtime.block_on(on_memory(history, |memory| memory))?;
        Ok(seen)
    });
    println!("memory\n{coverage}");
}
