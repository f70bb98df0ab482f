//! A receipt is refused when the message came to somebody else since. And it is refused only when its lease ended, the message came to somebody else or was settled, it
//! was given back, or the subscription went on to another incarnation.

use fanout_core::{OnFailure, Outcome};

use super::{Verdict, ensure};
use crate::step::{Group, Step};
use crate::story::{Said, Story};

pub(crate) fn check(story: &Story) -> Verdict {
    for said in story.said() {
        let refused = matches!(said.outcome, Outcome::Stale | Outcome::Fenced);
        ensure(refused || !is_outdated(story, &said), || {
            format!(
                "a receipt of message {} took effect after it had come to another",
                said.receipt.id()
            )
        })?;
        ensure(!refused || has_reason(story, &said), || {
            format!(
                "the receipt of message {} was refused as {:?} without a reason",
                said.receipt.id(),
                said.outcome
            )
        })?;
    }
    Ok(())
}

/// Whether the message was delivered again after this delivery, and before this was said.
fn is_outdated(story: &Story, said: &Said<'_>) -> bool {
    let Some(own) = story.handed_before(said) else {
        return false;
    };
    story.handed().iter().any(|later| {
        later.of() == said.of()
            && later.event.began > own.event.ended
            && later.event.ended < said.event.began
    })
}

fn has_reason(story: &Story, refused: &Said<'_>) -> bool {
    let handed = story.handed();
    let ended = handed
        .iter()
        .filter(|handed| handed.delivery.receipt == refused.receipt)
        .any(|handed| refused.event.clock >= handed.until());
    let came_to_others = handed.iter().any(|handed| {
        handed.of() == refused.of()
            && handed.delivery.receipt != refused.receipt
            && handed.event.began <= refused.event.ended
    });
    let settled_or_given_back = story.said().iter().any(|other| {
        let same = other.of() == refused.of() || blocks_with(story, other, refused);
        same && (other.settles() || other.lets_go()) && other.event.began <= refused.event.ended
    });
    let settled_within = story
        .settled_in()
        .iter()
        .any(|within| within.of() == refused.of() && within.commit.began <= refused.event.ended);
    let another_incarnation = story.events.iter().any(|other| {
        matches!(other.step, Step::Seek(..) | Step::Cancel(_)) && other.began <= refused.event.ended
    });
    ended || came_to_others || settled_or_given_back || settled_within || another_incarnation
}

/// A failure that blocks a lane gives back what its member had in hand behind the message.
pub(super) fn blocks_with(story: &Story, failed: &Said<'_>, behind: &Said<'_>) -> bool {
    let blocks = story
        .reading(failed.receipt.group())
        .is_some_and(|reading| reading.group == Group::Blocking.name());
    blocks
        && Group::Blocking.on_failure() == OnFailure::Block
        && failed.receipt.group() == behind.receipt.group()
        && matches!(failed.outcome, Outcome::Retry { .. })
}
