//! Cursors move forward only.

use super::{Verdict, ensure};
use crate::story::Story;

pub(crate) fn check(story: &Story) -> Verdict {
    for moved in &story.after_drain.moves {
        ensure(!moved.backward, || format!("a cursor went back: {moved:?}"))?;
    }
    Ok(())
}
