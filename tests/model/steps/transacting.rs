//! Settling inside a caller's transaction: `settle_in` and `settle_lanes_in`.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Form, Handler, Stage, World};

impl Fanout {
    /// The owner says whether the message is in hand, and what of its key comes before; of that nothing may be
    /// unsettled in the caller's sight.
    pub(crate) fn prepare(&self, world: &World, handler: u8) -> Option<World> {
        let handler = self.in_tx(world, handler, Stage::InHand)?;
        let Form::Cursor { member, .. } = handler.form else {
            return None;
        };
        let lane = world.members[usize::from(member)].lane?;
        if !self.is_at_rest(world, member) || !self.is_current(&lane, handler) {
            return None;
        }
        let before = lane.unsettled_before(handler.id);
        let is_early = self.bounds.ordered && !before.is_within(world.settlements());
        if is_early && self.mistake != Mistake::SettlesOutOfOrderInTx {
            self.note(Event::OutOfOrder);
            return None;
        }
        Some(moved(world, handler, Stage::Prepared))
    }

    /// The INSERT waits for whoever else has a row that is not committed, and fails if one is.
    pub(crate) fn insert_settlement(&self, world: &World, handler: u8) -> Option<World> {
        let from = if self.checks_first() {
            Stage::Checked
        } else {
            before_insert(world, handler)?
        };
        let handler = self.in_tx(world, handler, from)?;
        let is_held = |other: &Handler| other.id == handler.id && self.has_inserted(other);
        let is_unique = self.mistake != Mistake::NoUniqueSettlement;
        if is_unique && world.handlers.iter().any(is_held) {
            return None;
        }
        if is_unique && world.settlements().has(handler.id) {
            self.note(Event::SettlementConflict);
            return Some(refused(world, handler));
        }
        self.note(Event::SettlementInserted);
        Some(moved(world, handler, Stage::Inserted))
    }

    /// In a later statement: whether the receipt still fits what is committed.
    pub(crate) fn check_receipt(&self, world: &World, handler: u8) -> Option<World> {
        let from = if self.checks_first() {
            before_insert(world, handler)?
        } else {
            Stage::Inserted
        };
        let handler = self.in_tx(world, handler, from)?;
        let fits = match handler.form {
            Form::Row => self.holds_token(world, handler),
            Form::Cursor { epoch, .. } => {
                world.cursor.epoch == epoch && !world.covered().has(handler.id)
            }
        };
        if !fits && self.mistake != Mistake::NoCheckInTx {
            self.note(Event::ReceiptStaleInTx);
            return Some(refused(world, handler));
        }
        let mut next = moved(world, handler, Stage::Checked);
        if world.history.plain.has(handler.id) {
            // It was settled by a call before, so this must not pass.
            next.history.blame(crate::world::Fault::SettledTwice);
        }
        Some(next)
    }

    pub(crate) fn commit_settlement(&self, world: &World, handler: u8) -> Option<World> {
        let last = if self.checks_first() {
            Stage::Inserted
        } else {
            Stage::Checked
        };
        let handler = self.in_tx(world, handler, last)?;
        self.note(Event::SettledInTx);
        let mut next = without(world, handler);
        match handler.form {
            Form::Row => next.row_settlements.insert(handler.id),
            Form::Cursor { .. } => next.lane_settlements.insert(handler.id),
        }
        next.settled_in_tx(handler.id, self.bounds.ordered);
        Some(next)
    }

    /// The caller rolls back, and may try again.
    pub(crate) fn undo_settlement(&self, world: &World, handler: u8) -> Option<World> {
        let of = world.handlers.get(usize::from(handler))?;
        if !self.has_inserted(of) || world.budget.undone_settlements == 0 {
            return None;
        }
        self.note(Event::SettlementUndone);
        let mut next = moved(world, of, Stage::InHand);
        next.budget.undone_settlements -= 1;
        Some(next)
    }

    /// Its row in `outbox_settlements` is there, not committed.
    pub(super) fn has_inserted(&self, handler: &Handler) -> bool {
        handler.stage == Stage::Inserted || handler.stage == Stage::Checked && !self.checks_first()
    }

    fn checks_first(&self) -> bool {
        self.mistake == Mistake::ChecksBeforeInsert
    }

    fn in_tx<'a>(&self, world: &'a World, handler: u8, stage: Stage) -> Option<&'a Handler> {
        let handler = world.handlers.get(usize::from(handler))?;
        let is_it = handler.stage == stage && self.bounds.in_tx.has(handler.id);
        is_it.then_some(handler)
    }
}

/// What precedes the first statement on the table: nothing for a tracking row.
fn before_insert(world: &World, handler: u8) -> Option<Stage> {
    Some(match world.handlers.get(usize::from(handler))?.form {
        Form::Row => Stage::InHand,
        Form::Cursor { .. } => Stage::Prepared,
    })
}

fn moved(world: &World, handler: &Handler, stage: Stage) -> World {
    let mut next = world.clone();
    if let Some(handler) = next.handlers.iter_mut().find(|other| *other == handler) {
        handler.stage = stage;
    }
    next
}

/// The caller must roll back. While its lease goes on it may try again; after that it is never of use.
fn refused(world: &World, handler: &Handler) -> World {
    if handler.leased {
        moved(world, handler, Stage::InHand)
    } else {
        without(world, handler)
    }
}

fn without(world: &World, handler: &Handler) -> World {
    let mut next = world.clone();
    next.handlers.retain(|other| other != handler);
    next
}
