//! A settlement by cursor that took effect was the lane's owner's, of the epoch of its receipt. Receipts
//! of before a group was cancelled or sought settle nothing after.

use fanout_core::ReceiptForm;

use super::{Verdict, ensure};
use crate::step::Step;
use crate::story::{Said, Story};

pub(crate) fn check(story: &Story) -> Verdict {
    for said in story.said().iter().filter(|said| said.settles()) {
        ensure(!is_of_before(story, said), || {
            format!(
                "message {} was settled by a receipt of before its group was cancelled or sought",
                said.receipt.id()
            )
        })?;
        let ReceiptForm::Cursor(receipt) = said.receipt.form() else {
            continue;
        };
        let of_its_epoch = story.after_drain.moves.iter().any(|moved| {
            i32::from(moved.bit) == i32::from(receipt.group.0)
                && (moved.lane, moved.epoch) == (receipt.lane.0, receipt.epoch)
                && moved.covers.contains(&receipt.id.0)
        });
        ensure(of_its_epoch, || {
            format!(
                "message {} was settled by an owner of epoch {}, when the lane had another",
                receipt.id, receipt.epoch
            )
        })?;
    }
    Ok(())
}

/// Whether the group was cancelled or sought after the delivery, and before this was said.
fn is_of_before(story: &Story, said: &Said<'_>) -> bool {
    let Some(own) = story.handed_before(said) else {
        return false;
    };
    story.events.iter().any(|event| {
        matches!(event.step, Step::Seek(..) | Step::Cancel(_))
            && event.is_done()
            && event.group() == own.event.group()
            && event.began > own.event.ended
            && event.ended < said.event.began
    })
}
