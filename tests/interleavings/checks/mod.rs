//! What must hold of every interleaving, one promise a file.

mod cursors;
mod errors;
mod fencing;
mod leases;
mod loss;
mod order;
mod phantoms;
mod records;
mod settlements;
mod stale;
mod ticks;
mod watermark;

use crate::story::Story;

/// Says what is wrong, if anything is.
pub(crate) type Verdict = Result<(), String>;

/// A check, by the promise that it is about.
pub(crate) type Check = (&'static str, fn(&Story) -> Verdict);

pub(crate) const CHECKS: [Check; 13] = [
    ("errors", errors::check),
    ("2 no phantom", phantoms::check),
    ("3 no loss", loss::check),
    ("4 one effective settlement", settlements::check),
    ("4 stale receipts", stale::check),
    ("5 exclusive lease", leases::check),
    ("6 ticks only grow", ticks::only_grow),
    ("7 spans partition the log", ticks::partition),
    ("8 cursors move forward", cursors::check),
    ("9 fencing", fencing::check),
    ("10 order", order::check),
    ("11 required set", records::check),
    ("14 watermark", watermark::check),
];

/// Every promise that a story breaks.
pub(crate) fn check(story: &Story) -> Verdict {
    let broken: Vec<String> = CHECKS
        .iter()
        .filter_map(|(promise, check)| check(story).err().map(|why| format!("{promise}: {why}")))
        .collect();
    if broken.is_empty() {
        Ok(())
    } else {
        Err(broken.join("; "))
    }
}

/// An error unless it holds.
fn ensure(holds: bool, why: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(why()) }
}
