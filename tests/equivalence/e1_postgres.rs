//! The Postgres engine in every mode against the acceptor, and against the memory engine.

use fanout_tests::campaign::Campaign;
use fanout_tests::history::History;
use fanout_tests::modes::Modes;

use crate::in_modes::InModes;

/// Half of the histories change modes.
const PARTS: [Modes; 4] = [Modes::ONLY[0], Modes::ONLY[1], Modes::Mixed, Modes::Mixed];

/// Each history runs on Postgres in the modes of its part, and on the memory engine in all: what ends as that does
/// ends alike in every mode.
#[test]
fn e1_postgres_in_every_mode_equals_memory() {
    let campaign = Campaign::everyday(
        300,
        40,
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/equivalence/regressions/postgres.txt"
        ),
    );
    let in_modes = |modes| {
        let postgres = InModes::start(&[modes]);
        move |history: &History| {
            let (_, seen) = postgres.run(history, &[modes])?;
            Ok(seen)
        }
    };
    let coverage = campaign.must_pass(PARTS.map(in_modes).into());
    println!("postgres\n{coverage}");
}
