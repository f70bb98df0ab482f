//! A settlement by cursor that took effect was the lane's owner's, of the epoch of its receipt.

use fanout_core::ReceiptForm;

use super::{Verdict, ensure};
use crate::story::Story;

pub(crate) fn check(story: &Story) -> Verdict {
    for said in story.said().iter().filter(|said| said.settles()) {
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
