//! Known mistakes, for tests that show that each of them is caught.
//!
//! All of this is there with `--cfg fanout_planted` only; without it [`planted!`](crate::planted) is
//! `false`. One mistake is in force at a time, in the whole process.

mod mistake;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

pub use mistake::Mistake;

/// One more than the place of the mistake in force; 0 for none.
static IN_FORCE: AtomicUsize = AtomicUsize::new(0);

/// Puts a mistake in force, instead of the one before. One in SQL is in databases that are migrated from
/// then on.
pub fn plant(mistake: Option<Mistake>) {
    let place = mistake.and_then(|mistake| Mistake::ALL.iter().position(|other| *other == mistake));
    IN_FORCE.store(place.map_or(0, |place| place + 1), SeqCst);
}

/// The mistake in force.
#[must_use]
pub fn in_force() -> Option<Mistake> {
    IN_FORCE
        .load(SeqCst)
        .checked_sub(1)
        .map(|place| Mistake::ALL[place])
}

/// Whether this one is.
#[must_use]
pub fn is_in_force(mistake: Mistake) -> bool {
    in_force() == Some(mistake)
}
