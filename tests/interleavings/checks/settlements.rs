//! Each message is settled once for a group, and never delivered again after that.

use super::{Verdict, ensure};
use crate::story::Story;

pub(crate) fn check(story: &Story) -> Verdict {
    let said = story.said();
    let plain: Vec<_> = said.iter().filter(|said| said.settles()).collect();
    let within = story.settled_in();
    for (index, one) in plain.iter().enumerate() {
        for other in &plain[index + 1..] {
            ensure(one.of() != other.of(), || {
                format!("message {} was settled twice", one.receipt.id())
            })?;
        }
        for other in within.iter().filter(|other| other.of() == one.of()) {
            // Settlements of both kinds that overlap may both take effect; that is the price of mixing
            // them. But a later one never does.
            ensure(one.event.ended >= other.call.resumed, || {
                format!(
                    "message {} was settled, and then within a transaction",
                    one.receipt.id()
                )
            })?;
            ensure(other.commit.ended >= one.event.began, || {
                format!(
                    "message {} was settled within a transaction, and then again",
                    one.receipt.id()
                )
            })?;
        }
    }
    for (index, one) in within.iter().enumerate() {
        for other in &within[index + 1..] {
            ensure(one.of() != other.of(), || {
                format!("two transactions settled message {}", one.receipt.id())
            })?;
        }
    }
    let settled = story.settled();
    for handed in story.handed() {
        let ended = settled.get(&handed.of());
        ensure(
            ended.is_none_or(|ended| *ended >= handed.event.began),
            || {
                format!(
                    "message {} came again after it was settled",
                    handed.delivery.message.id
                )
            },
        )?;
    }
    Ok(())
}
