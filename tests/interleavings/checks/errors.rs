//! Steps fail only where a race lets them.

use fanout_core::ErrorKind;

use super::Verdict;
use crate::history::{Event, Happened};
use crate::step::Step;
use crate::story::Story;

pub(crate) fn check(story: &Story) -> Verdict {
    for event in &story.events {
        if let Happened::Failed(kind, message) = &event.happened
            && !may_fail(story, event, *kind)
        {
            return Err(format!("{:?} failed: {kind:?}: {message}", event.step));
        }
    }
    Ok(())
}

fn may_fail(story: &Story, event: &Event, kind: ErrorKind) -> bool {
    let within_transaction = matches!(
        event.step,
        Step::Insert { .. } | Step::SettleIn | Step::Commit
    );
    match kind {
        // A serialization failure, a deadlock, or another's settlement.
        ErrorKind::Conflict => within_transaction,
        ErrorKind::StaleReceipt | ErrorKind::OutOfOrder => event.step == Step::SettleIn,
        ErrorKind::SubscriptionNotFound => !story.events.iter().any(|other| {
            matches!(other.step, Step::Subscribe(group, _) if event.group() == Some(group))
                && other.is_done()
                && other.ended < event.began
        }),
        ErrorKind::SubscriptionEnded | ErrorKind::InvalidTransition => {
            story.events.iter().any(|other| {
                matches!(other.step, Step::Cancel(group) if event.group() == Some(group))
                    && other.began <= event.ended
            })
        }
        _ => false,
    }
}
