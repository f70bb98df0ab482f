//! The Postgres engine in every mode against the acceptor, and against the memory engine.

use fanout_tests::campaign::Campaign;
use fanout_tests::modes::Modes;

use crate::every_mode::EveryMode;

/// Each history runs on Postgres once for each of [`Modes::ALL`].
#[test]
fn e1_postgres_in_every_mode_equals_memory() {
    let postgres = EveryMode::start();
    let campaign = Campaign::everyday(
        100,
        40,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/equivalence/regressions/postgres.txt"
        ),
    );
    let coverage = campaign.must_pass(|history| {
        let (_, seen) = postgres.run(history, &Modes::ALL)?;
        Ok(seen)
    });
    println!("postgres, {} runs of each\n{coverage}", Modes::ALL.len());
}
