//! The required set of a tracked message is that of the unordered groups that are owed it.

use std::collections::BTreeSet;

use super::{Verdict, ensure};
use crate::story::Story;

pub(crate) fn check(story: &Story) -> Verdict {
    let facts = &story.after_drain;
    let unordered: Vec<_> = facts.live().filter(|reading| !reading.ordered).collect();
    for message in facts.log.iter().filter(|message| message.tracked) {
        let Some(record) = facts.records.iter().find(|record| record.id == message.id) else {
            return Err(format!("message {} has no record", message.id));
        };
        let owing: BTreeSet<i16> = unordered
            .iter()
            .filter(|reading| reading.owes(message))
            .map(|reading| reading.bit)
            .collect();
        let is_live = |bit: &i16| unordered.iter().any(|reading| reading.bit == *bit);
        let required: BTreeSet<i16> = record.required.iter().copied().filter(is_live).collect();
        ensure(required == owing, || {
            format!(
                "message {} is owed to {owing:?}, and required of {:?}",
                message.id, record.required
            )
        })?;
        ensure(record.completed.is_subset(&record.required), || {
            format!("not all who completed had to: {record:?}")
        })?;
        // All is drained, and what others left is reaped.
        ensure(record.completed == record.required, || {
            format!("a drained message is not completed: {record:?}")
        })?;
        ensure(record.required.is_empty() || record.finished, || {
            format!("a completed record is not finished: {record:?}")
        })?;
    }
    Ok(())
}
