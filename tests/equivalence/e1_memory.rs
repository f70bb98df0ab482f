//! The memory engine against the acceptor, and its two modes against each other.

use fanout_tests::acceptor::Violation;
use fanout_tests::campaign::Campaign;
use fanout_tests::subject::on_memory;
use fanout_tests::terms::Terms;

#[test]
fn e1_memory_does_what_the_acceptor_allows_in_both_modes() {
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
        let ran = Terms::MODES.map(|mode| {
            runtime
                .block_on(on_memory(history, mode, |memory| memory))
                .map_err(|violation| violation.during(mode))
        });
        let [counting, reading] = ran;
        let ((counted, mut seen), (read, more)) = (counting?, reading?);
        if counted != read {
            return Err(Violation::new(format!(
                "the modes end differently\nreference counting: {counted:#?}\noffset: {read:#?}"
            )));
        }
        seen.extend(more);
        Ok(seen)
    });
    println!("memory\n{coverage}");
}
