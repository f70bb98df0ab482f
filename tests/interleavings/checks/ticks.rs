//! What a tick sees every later one sees, and each message is in the span of one tick.

use super::{Verdict, ensure};
use crate::facts::{Facts, snapshot};
use crate::story::Story;

pub(crate) fn only_grow(story: &Story) -> Verdict {
    let facts = &story.after_drain;
    for pair in facts.taken.windows(2) {
        let (earlier, later) = (snapshot(&pair[0]), snapshot(&pair[1]));
        for message in &facts.log {
            ensure(!earlier.sees(message.tx) || later.sees(message.tx), || {
                format!(
                    "message {} is visible in {}, and not in {}",
                    message.id, pair[0], pair[1]
                )
            })?;
        }
        ensure(later.includes(&earlier), || {
            format!("{} comes after {}", pair[1], pair[0])
        })?;
    }
    Ok(())
}

pub(crate) fn partition(story: &Story) -> Verdict {
    of(&story.before_drain)?;
    of(&story.after_drain)
}

fn of(facts: &Facts) -> Verdict {
    for span in &facts.spans {
        ensure(span.covered, || {
            format!("the ranges of tick {} leave messages out", span.tick)
        })?;
        ensure(
            (span.stored, span.stored_untracked) == (span.found, span.found_untracked),
            || format!("tick {} counts wrongly: {span:?}", span.tick),
        )?;
    }
    Ok(())
}
