//! `commit_cursors`: the compare-and-swap.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Fault, Form, Handler, Ids, Stage, State, TrackingRow, Update, World};

impl Fanout {
    /// The statement changes the cursor as it stands now, or does not; the member learns which.
    pub(crate) fn execute(&self, world: &World, member: u8) -> Option<World> {
        let update = world.members[usize::from(member)].commit?;
        let mut next = world.clone();
        next.members[usize::from(member)].commit = None;
        let has_moved = self.write(&mut next, &update);
        if !has_moved {
            self.note(if update.refused {
                Event::CommitRefused
            } else {
                Event::CommitOutrun
            });
            let lane = self.lane(&mut next, member)?;
            lane.uninformed = true;
            for handler in next
                .handlers
                .iter_mut()
                .filter(|h| is_receipt(h, member, &update))
            {
                handler.stage = Stage::InHand;
            }
            return Some(next);
        }
        if let Some(id) = update.message()
            && next.history.is_outdated(id, update.serial)
        {
            next.history.blame(Fault::StaleReceipt);
        }
        if let Some(id) = update.settles {
            next.history.acknowledged.insert(id);
        }
        next.handlers
            .retain(|handler| !is_receipt(handler, member, &update));
        self.carry_out(&mut next, member, &update)?;
        Some(next)
    }

    /// The call is dropped, or its connection lost: the commit may happen or not.
    pub(crate) fn drop_call(&self, world: &World, member: u8) -> Option<World> {
        let update = world.members[usize::from(member)].commit?;
        if world.budget.dropped_calls == 0 || world.orphan.is_some() {
            return None;
        }
        self.note(Event::CallDropped);
        let mut next = world.clone();
        next.budget.dropped_calls -= 1;
        next.members[usize::from(member)].commit = None;
        next.orphan = Some(update);
        // The caller does not know, and may try again.
        for handler in next
            .handlers
            .iter_mut()
            .filter(|h| is_receipt(h, member, &update))
        {
            handler.stage = Stage::InHand;
        }
        Some(next)
    }

    pub(crate) fn execute_orphan(&self, world: &World) -> Option<World> {
        let update = world.orphan?;
        let mut next = world.clone();
        next.orphan = None;
        if !self.write(&mut next, &update) {
            self.note(Event::OrphanRefused);
            return Some(next);
        }
        self.note(Event::OrphanExecuted);
        // A failure gives the lease back.
        let has_failed = update.parks.or(update.blocks);
        for handler in &mut next.handlers {
            let is_its = Some(handler.id) == has_failed && handler.serial == update.serial;
            handler.leased &= !is_its;
        }
        Some(next)
    }

    pub(crate) fn lose_orphan(&self, world: &World) -> Option<World> {
        world.orphan?;
        self.note(Event::OrphanLost);
        let mut next = world.clone();
        next.orphan = None;
        Some(next)
    }

    /// Time passes beyond `blocked_until`.
    pub(crate) fn unblock(&self, world: &World) -> Option<World> {
        let is_blocked = |w: &World| {
            w.cursor.blocked || w.members.iter().any(|m| m.lane.is_some_and(|l| l.blocked))
        };
        if !is_blocked(world) {
            return None;
        }
        self.note(Event::Unblocked);
        let mut next = world.clone();
        next.cursor.blocked = false;
        for lane in next.members.iter_mut().filter_map(|m| m.lane.as_mut()) {
            lane.blocked = false;
        }
        Some(next)
    }

    /// Changes the cursor if it is as expected, and in the same transaction parks and folds; tells whether.
    fn write(&self, next: &mut World, update: &Update) -> bool {
        let cursor = &next.cursor;
        let is_fenced = match self.mistake {
            Mistake::NoEpochCheck => false,
            Mistake::NoVersionCheck => cursor.epoch != update.epoch,
            _ => (cursor.epoch, cursor.version) != (update.epoch, update.version),
        };
        if is_fenced || update.refused {
            return false;
        }
        if (cursor.reign, cursor.version) != (update.reign, update.version) {
            next.history.blame(Fault::Unfenced);
        }
        let (before, stood) = (next.covered(), cursor.tick);
        let cursor = &mut next.cursor;
        cursor.tick = update.tick;
        cursor.through = update.through;
        cursor.last_id = update.last_id;
        cursor.ahead = update.ahead;
        cursor.failures = update.failures;
        cursor.blocked = update.blocks.is_some();
        cursor.version += 1;
        if let Some(id) = update.parks {
            self.note(Event::Parked);
            next.history.parked.insert(id);
            if self.mistake != Mistake::PassesFailed {
                let parked = true;
                *next.row_mut(id) = Some(TrackingRow {
                    parked,
                    ..TrackingRow::default()
                });
            }
        }
        if update.blocks.is_some() {
            self.note(Event::Blocked);
        }
        // A settlement of what is parked is its tracking row's, whatever the member believes.
        let keeps = self.mistake != Mistake::FoldsParkedByCursor;
        let is_parked = |id: u8| keeps && next.row(id).is_some_and(|row| row.parked);
        let folds = update.folds.matching(|id| !is_parked(id));
        if !folds.is_empty() {
            self.note(Event::FoldedByCursor);
        }
        next.lane_settlements = next.lane_settlements.less(folds);
        if !before.is_within(next.covered()) || next.cursor.tick < stood {
            next.history.blame(Fault::WentBack);
        }
        if let Some(id) = update.settles {
            self.note(Event::Settled);
            next.settled(id, update.in_tx_before, self.bounds.ordered);
        }
        true
    }

    /// The member's lane follows.
    fn carry_out(&self, next: &mut World, member: u8, update: &Update) -> Option<()> {
        let lane = self.lane(next, member)?;
        if let Some(id) = update.settles.or(update.parks) {
            lane.set(id, State::Settled);
        }
        let mut released = Ids::NONE;
        if let Some(id) = update.blocks {
            // What is in hand behind the failed message is released with it.
            let place = lane.place(id);
            let held = lane.rows().filter(|(of, row)| {
                matches!(row.state, State::InHand(_)) && lane.place(*of) >= place
            });
            released = held.map(|(id, _)| id).collect();
            for id in released.iter() {
                lane.set(id, State::Again);
            }
        }
        lane.updated(update);
        lane.compact();
        lane.finish_span();
        let epoch = lane.epoch;
        for handler in &mut next.handlers {
            let is_here = handler.form == Form::Cursor { member, epoch };
            handler.leased &= !(is_here && released.has(handler.id));
        }
        Some(())
    }
}

/// Whether it is the receipt that a commit uses.
fn is_receipt(handler: &Handler, member: u8, update: &Update) -> bool {
    Some(handler.id) == update.message()
        && handler.serial == update.serial
        && matches!(handler.form, Form::Cursor { member: of, .. } if of == member)
}
