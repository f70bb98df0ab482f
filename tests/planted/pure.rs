//! Mistakes in the pure algorithms, which the properties that are fuzzed catch.

use std::fs;
use std::iter::repeat_with;
use std::panic::{catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::time::Instant;

use fanout_core::planted::{Mistake, plant};
use fanout_tests::pure;
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// What a fuzz target does with its bytes; it panics when the property does not hold.
type Property = fn(&[u8]);

/// Each mistake with the fuzz target that catches it.
pub(crate) const FUZZED: [(Mistake, &str, Property); 6] = [
    (
        Mistake::ComparesSharedBytes,
        "group_bitmap",
        pure::group_bitmap,
    ),
    (Mistake::ReadsNarrower, "round_trips", pure::round_trips),
    (Mistake::JoinsAcrossGaps, "id_set", pure::id_set),
    (Mistake::RunsAcrossGaps, "id_set", pure::id_set),
    (Mistake::SeesOpenTransactions, "snapshot", pure::snapshot),
    (Mistake::IncludesByEnd, "snapshot", pure::snapshot),
];

/// As many random inputs, always the same ones.
const INPUTS: usize = 20_000;
const MAX_BYTES: usize = 256;

/// What the property says of one of the target's seeds, or else of a random input; and how many it took.
fn fuzz(target: &str, property: Property) -> Option<(String, u32)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let seeds = fs::read_dir(corpus).expect("the target has seeds");
    let mut seeds: Vec<_> = seeds.map(|seed| seed.expect("is listed").path()).collect();
    seeds.sort_unstable();
    let seeds = seeds
        .into_iter()
        .map(|seed| fs::read(seed).expect("is read"));
    let mut runner = TestRunner::deterministic();
    let bytes = vec(proptest::num::u8::ANY, 0..MAX_BYTES);
    let random = repeat_with(|| bytes.new_tree(&mut runner).expect("is made").current());
    let mut inputs = seeds.chain(random.take(INPUTS)).zip(1..);
    inputs.find_map(|(input, number)| {
        let panicked = catch_unwind(|| property(&input)).err()?;
        let text = panicked.downcast_ref::<&str>().copied().map(str::to_owned);
        let reason = text.or_else(|| panicked.downcast_ref::<String>().cloned())?;
        Some((reason.replace('\n', " "), number))
    })
}

#[test]
fn the_properties_that_are_fuzzed_catch_mistakes_and_nothing_else() {
    let _alone = crate::one_at_a_time();
    let loud = take_hook();
    set_hook(Box::new(|_| {}));
    let caught = FUZZED.map(|(mistake, target, property)| {
        let sound = fuzz(target, property);
        plant(Some(mistake));
        let began = Instant::now();
        let broken = fuzz(target, property);
        let took = began.elapsed().as_secs_f64();
        plant(None);
        (mistake, target, sound, broken, took)
    });
    set_hook(loud);
    for (mistake, target, sound, broken, took) in caught {
        assert_eq!(sound, None, "{target} without {mistake:?}");
        let Some((reason, number)) = broken else {
            panic!("{mistake:?} is not caught by {target}");
        };
        println!("{mistake:?} ({target}), input {number}, {took:.1} s: {reason}");
    }
}
