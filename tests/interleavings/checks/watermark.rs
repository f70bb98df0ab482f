//! Nothing at or below the watermark is owed.

use super::{Verdict, ensure};
use crate::story::Story;

pub(crate) fn check(story: &Story) -> Verdict {
    let facts = &story.before_drain;
    for reading in facts.live() {
        let lowest = reading.pending.first();
        ensure(
            lowest.is_none_or(|lowest| *lowest > facts.watermark),
            || {
                format!(
                    "the watermark is {}, and {} owes {:?}",
                    facts.watermark, reading.group, reading.pending
                )
            },
        )?;
    }
    Ok(())
}
