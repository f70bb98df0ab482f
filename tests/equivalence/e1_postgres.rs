//! The Postgres engine against the acceptor, and against the memory engine.

use crate::acceptor::Violation;
use crate::campaign::Campaign;
use crate::subject::{Postgres, on_memory};

#[test]
fn e1_postgres_in_reference_counting_equals_memory() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime starts");
    let postgres = runtime.block_on(Postgres::start());
    let campaign = Campaign::everyday(
        60,
        40,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/equivalence/regressions/postgres.txt"
        ),
    );
    let coverage = campaign.must_pass(|history| {
        let (expected, _) = runtime
            .block_on(on_memory(history, |memory| memory))
            .map_err(|violation| violation.during("memory"))?;
        let (ending, seen) = runtime
            .block_on(postgres.run(history))
            .map_err(|violation| violation.during("postgres"))?;
        if ending != expected {
            return Err(Violation::new(format!(
                "the engines end differently\nmemory: {expected:#?}\npostgres: {ending:#?}"
            )));
        }
        Ok(seen)
    });
    println!("postgres\n{coverage}");
    // The database goes with it, which takes a runtime.
    let _entered = runtime.enter();
    drop(postgres);
}
