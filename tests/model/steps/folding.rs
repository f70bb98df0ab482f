//! `fold`, for tracking rows, and `sweep_lane_settlements`, for what no owner of a lane meets. (By cursor the
//! owner folds, in its commits.)

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Fault, World};

impl Fanout {
    /// Settles the tracking row and removes the settlement, in one transaction that holds both.
    pub(crate) fn fold(&self, world: &World, id: u8) -> Option<World> {
        let mut handlers = world.handlers.iter();
        let is_open = handlers.any(|h| h.id == id && self.has_inserted(h));
        let takes_open = self.mistake == Mistake::FoldsUncommitted && is_open;
        let may_fold = world.row_settlements.has(id) || takes_open && world.row(id).is_some();
        if !may_fold {
            return None;
        }
        self.note(Event::Folded);
        let mut next = world.clone();
        next.row_settlements.remove(id);
        match self.mistake {
            Mistake::FoldsInTwoTransactions => {
                next.half_folded.insert(id);
                return Some(next);
            }
            Mistake::FoldsTwice => next.half_folded.insert(id),
            _ => {}
        }
        *next.row_mut(id) = None;
        next.history.folded.insert(id);
        Some(next)
    }

    /// Planted mistakes: the second half of a fold, or another that has read the same row.
    pub(crate) fn fold_again(&self, world: &World, id: u8) -> Option<World> {
        if !world.half_folded.has(id) {
            return None;
        }
        let mut next = world.clone();
        next.half_folded.remove(id);
        *next.row_mut(id) = None;
        if next.history.folded.has(id) {
            next.history.blame(Fault::FoldedTwice);
        }
        next.history.folded.insert(id);
        Some(next)
    }

    /// A message that was parked meanwhile is its tracking row's; one that the cursor covers needs nothing.
    pub(crate) fn sweep(&self, world: &World, id: u8) -> Option<World> {
        if !world.lane_settlements.has(id) {
            return None;
        }
        let is_parked = world.row(id).is_some_and(|row| row.parked);
        if !is_parked && !world.covered().has(id) {
            return None;
        }
        self.note(Event::Swept);
        let mut next = world.clone();
        next.lane_settlements.remove(id);
        if is_parked {
            next.row_settlements.insert(id);
        }
        Some(next)
    }
}
