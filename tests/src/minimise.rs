//! Makes a failing history shorter.

use std::time::{Duration, Instant};

use crate::history::History;

/// What is as small as it gets by then is small enough.
const PATIENCE: Duration = Duration::from_secs(120);

/// Takes ops out, many at a time, then few, as long as the history still fails.
///
/// proptest takes them out one by one, which takes long on an engine that is slow to try.
pub fn minimise(mut history: History, fails: impl Fn(&History) -> bool) -> History {
    let began = Instant::now();
    let mut chunk = history.ops.len();
    while chunk > 0 {
        let (mut at, mut shorter) = (0, false);
        while at < history.ops.len() && began.elapsed() < PATIENCE {
            let mut without = history.clone();
            let end = history.ops.len().min(at + chunk);
            without.ops.drain(at..end);
            if fails(&without) {
                history = without;
                shorter = true;
            } else {
                at += chunk;
            }
        }
        if !shorter || chunk > 1 {
            chunk /= 2;
        }
    }
    history
}
