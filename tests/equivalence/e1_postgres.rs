//! The Postgres engine against the acceptor, and against the memory engine.

use fanout_core::CompletionMode;

use crate::postgres::Postgres;
use fanout_tests::acceptor::Violation;
use fanout_tests::campaign::Campaign;
use fanout_tests::coverage::Coverage;
use fanout_tests::subject::on_memory;

fn must_equal_memory(mode: CompletionMode, regressions: &'static str) -> Coverage {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let postgres = runtime.block_on(Postgres::start());
    let campaign = Campaign::everyday(60, 40, regressions);
    let coverage = campaign.must_pass(|history| {
        let (expected, _) = runtime
            .block_on(on_memory(history, mode, |memory| memory))
            .map_err(|violation| violation.during("memory"))?;
        let (ending, seen) = runtime
            .block_on(postgres.run(history, mode))
            .map_err(|violation| violation.during("postgres"))?;
        if ending != expected {
            return Err(Violation::new(format!(
                "the engines end differently\nmemory: {expected:#?}\npostgres: {ending:#?}"
            )));
        }
        Ok(seen)
    });
    // The database goes with it, which takes a runtime.
    let _entered = runtime.enter();
    drop(postgres);
    coverage
}

#[test]
fn e1_postgres_in_reference_counting_equals_memory() {
    let coverage = must_equal_memory(
        CompletionMode::ReferenceCounting,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/equivalence/regressions/postgres.txt"
        ),
    );
    println!("postgres\n{coverage}");
}

#[test]
fn e1_postgres_in_offset_watermark_equals_memory() {
    let coverage = must_equal_memory(
        CompletionMode::OffsetWatermark,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/equivalence/regressions/postgres_offset.txt"
        ),
    );
    println!("postgres\n{coverage}");
}
