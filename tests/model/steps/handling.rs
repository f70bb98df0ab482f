//! Receipts in the hands of handlers.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Form, Handler, Stage, World};

impl Fanout {
    /// Time passes beyond the lease of one delivery.
    pub(crate) fn end_lease(&self, world: &World, handler: u8) -> Option<World> {
        let handler = world.handlers.get(usize::from(handler))?;
        if !handler.leased || world.budget.leases == 0 {
            return None;
        }
        self.note(Event::LeaseEnded);
        let mut next = world.clone();
        next.budget.leases -= 1;
        if handler.form == Form::Row
            && let Some(row) = next.row_mut(handler.id)
        {
            row.expired |= row.token == handler.serial;
        }
        let mut handlers = next.handlers.iter_mut();
        handlers.find(|other| *other == handler)?.leased = false;
        Some(next)
    }

    /// Puts the state in order after a step. Receipts that are stale for good go: whoever uses one is told,
    /// and nothing changes, so it makes no difference when.
    pub(crate) fn tidied(&self, mut next: World) -> World {
        let mut handlers = std::mem::take(&mut next.handlers);
        handlers.retain(|handler| !self.is_refused(&next, handler));
        handlers.sort_unstable();
        next.handlers = handlers;
        next.renumber(self.bounds.merges);
        next
    }

    fn is_refused(&self, world: &World, handler: &Handler) -> bool {
        // A lease that goes on with nothing settled stays, to be seen by the properties.
        let is_settled = world.history.settled().has(handler.id);
        let is_forgiven = matches!(
            self.mistake,
            Mistake::IgnoresDelivery | Mistake::IgnoresToken | Mistake::NoCheckInTx
        );
        if handler.stage != Stage::InHand || handler.leased && !is_settled || is_forgiven {
            return false;
        }
        match handler.form {
            Form::Row => {
                let is_stale =
                    !self.holds_token(world, handler) || world.settlements().has(handler.id);
                if is_stale {
                    self.note(Event::StaleByRow);
                }
                is_stale
            }
            Form::Cursor { member, epoch } => {
                let lane = world.members[usize::from(member)].lane;
                let Some(lane) = lane.filter(|lane| lane.epoch == epoch) else {
                    self.note(Event::Fenced);
                    return true;
                };
                let is_stale = !self.is_current(&lane, handler);
                if is_stale {
                    self.note(Event::StaleByCursor);
                }
                is_stale
            }
        }
    }
}
