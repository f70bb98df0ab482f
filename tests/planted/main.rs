//! Known mistakes in the engine, each of which is caught, and by what.
//!
//! They are compiled in with `--cfg fanout_planted` alone, and so is all of this; see `just planted`.

#![cfg(fanout_planted)]

mod hunts;
mod place;
mod pure;
mod scripted;
mod scripts;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mistake is in force in the whole process.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn every_mistake_is_looked_for() {
    use fanout_core::planted::Mistake;
    let hunted = hunts::HUNTED.iter().map(|(mistake, _, _)| *mistake);
    let scripted = scripted::SCRIPTS.iter().map(|(mistake, _, _)| *mistake);
    let fuzzed = pure::FUZZED.iter().map(|(mistake, _, _)| *mistake);
    let looked_for: Vec<Mistake> = hunted.chain(scripted).chain(fuzzed).collect();
    for mistake in Mistake::ALL {
        assert!(looked_for.contains(&mistake), "{mistake:?}");
    }
}
