//! While a lease has not ended nobody else gets the message, unless it was given back.

use super::{Verdict, ensure};
use crate::step::{Group, Step};
use crate::story::{Handed, Story};

pub(crate) fn check(story: &Story) -> Verdict {
    let handed = story.handed();
    for (index, one) in handed.iter().enumerate() {
        for other in &handed[index + 1..] {
            if one.of() != other.of() {
                continue;
            }
            let (earlier, later) = if one.event.ended <= other.event.ended {
                (one, other)
            } else {
                (other, one)
            };
            ensure(
                later.event.clock >= earlier.until() || was_given_back(story, earlier, later),
                || {
                    format!(
                        "message {} was delivered under two leases at a time",
                        one.delivery.message.id
                    )
                },
            )?;
        }
    }
    Ok(())
}

fn was_given_back(story: &Story, earlier: &Handed<'_>, later: &Handed<'_>) -> bool {
    let by_its_receipt = story.said().iter().any(|said| {
        let same = said.receipt == earlier.delivery.receipt
            || said.event.session == earlier.event.session
                && said.receipt.group() == earlier.of().0
                && is_blocking(story, earlier);
        same && said.lets_go() && said.event.began <= later.event.ended
    });
    let by_leaving = story.events.iter().any(|event| {
        event.step == Step::Leave
            && event.session == earlier.event.session
            && event.began <= later.event.ended
    });
    by_its_receipt || by_leaving
}

fn is_blocking(story: &Story, handed: &Handed<'_>) -> bool {
    story
        .reading(handed.of().0)
        .is_some_and(|reading| reading.group == Group::Blocking.name())
}
