//! Mistakes that scripts catch.

use std::pin::Pin;
use std::time::Instant;

use fanout_core::planted::{Mistake, plant};

use crate::scripts::{self, Seen};

type Script = fn() -> Pin<Box<dyn Future<Output = Seen>>>;

/// Each mistake with its script, and the promise that it breaks.
pub(crate) const SCRIPTS: [(Mistake, Script, &str); 7] = [
    (
        Mistake::SettlesTwice,
        || Box::pin(scripts::settling_beside_a_transaction()),
        "promise 4",
    ),
    (
        Mistake::SettlesUnchecked,
        || Box::pin(scripts::settling_in_a_transaction_after_a_takeover()),
        "promise 4",
    ),
    (
        Mistake::TickSeesBeforeLock,
        || Box::pin(scripts::two_tickers()),
        "promise 6",
    ),
    (
        Mistake::DecidesBackwards,
        || Box::pin(scripts::deciding_beside_a_publisher()),
        "promise 14",
    ),
    (
        Mistake::IgnoresEpoch,
        || Box::pin(scripts::settling_after_a_takeover()),
        "promise 9",
    ),
    (
        Mistake::TracksInOldSnapshots,
        || Box::pin(scripts::publishing_under_an_old_snapshot()),
        "promise 3",
    ),
    (
        Mistake::FoldsTwice,
        || Box::pin(scripts::folding()),
        "figures",
    ),
];

#[test]
fn scripts_catch_mistakes_and_nothing_else() {
    let _alone = crate::one_at_a_time();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    for (mistake, script, promise) in SCRIPTS {
        plant(None);
        let sound = runtime.block_on(script());
        assert_eq!(sound, Ok(()), "without {mistake:?}");
        plant(Some(mistake));
        let began = Instant::now();
        let broken = runtime.block_on(script()).expect_err("is caught");
        let took = began.elapsed().as_secs_f64();
        plant(None);
        assert!(broken.starts_with(promise), "{mistake:?}: {broken}");
        println!("{mistake:?}, {took:.1} s: {broken}");
    }
}
