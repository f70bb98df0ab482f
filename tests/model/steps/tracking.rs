//! The path of tracking rows: `claim_<topic>`, `settle_<topic>`, `fail`.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Fault, Form, Handler, Stage, Status, TrackingRow, World};

impl Fanout {
    /// Leases a message that is due; which of the members does so makes no difference.
    pub(crate) fn claim(&self, world: &World, id: u8) -> Option<World> {
        let row = world.row(id)?;
        let is_due = row.token == 0 || row.expired || self.mistake == Mistake::ClaimsLeased;
        let is_settled = world.settlements().has(id) && self.mistake != Mistake::ClaimsSettled;
        let looks =
            self.mistake != Mistake::ForgetsOldPath || world.counts_references || row.parked;
        let is_live = world.subscription.status == Status::Live;
        if !is_due || is_settled || !looks || !is_live {
            return None;
        }
        self.note(if row.parked {
            Event::ClaimedParked
        } else {
            Event::Claimed
        });
        let mut next = world.clone();
        if world.history.in_tx.has(id) {
            next.history.blame(Fault::SettledTwice);
        }
        let serial = next.deliver(id, true, self.bounds.ordered);
        *next.row_mut(id) = Some(TrackingRow {
            token: serial,
            expired: false,
            ..row
        });
        next.handlers.push(Handler {
            id,
            serial,
            form: Form::Row,
            leased: true,
            stage: Stage::InHand,
        });
        Some(next)
    }

    pub(crate) fn row_done(&self, world: &World, handler: u8) -> Option<World> {
        let handler = self.with_row(world, handler)?;
        if !self.bounds.plain.has(handler.id) {
            return None;
        }
        self.note(Event::RowSettled);
        let mut next = world.clone();
        self.use_receipt(&mut next, handler);
        *next.row_mut(handler.id) = None;
        let in_tx = next.history.in_tx;
        next.settled(handler.id, in_tx, self.bounds.ordered);
        next.history.acknowledged.insert(handler.id);
        Some(next)
    }

    /// It is due again at once: when it is makes no difference here.
    pub(crate) fn row_fail(&self, world: &World, handler: u8) -> Option<World> {
        let handler = self.with_row(world, handler)?;
        if world.budget.failures == 0 {
            return None;
        }
        self.note(Event::RowFailed);
        let mut next = world.clone();
        next.budget.failures -= 1;
        self.use_receipt(&mut next, handler);
        let row = next.row_mut(handler.id).as_mut()?;
        (row.token, row.expired) = (0, false);
        Some(next)
    }

    /// A handler in hand whose token the tracking row carries.
    fn with_row<'a>(&self, world: &'a World, handler: u8) -> Option<&'a Handler> {
        let handler = world.handlers.get(usize::from(handler))?;
        let is_in_hand = handler.form == Form::Row && handler.stage == Stage::InHand;
        let holds = self.holds_token(world, handler) && !world.settlements().has(handler.id);
        (is_in_hand && holds).then_some(handler)
    }

    pub(super) fn holds_token(&self, world: &World, handler: &Handler) -> bool {
        let ignores = self.mistake == Mistake::IgnoresToken;
        world
            .row(handler.id)
            .is_some_and(|row| ignores || row.token == handler.serial)
    }

    fn use_receipt(&self, next: &mut World, handler: &Handler) {
        if next.history.is_outdated(handler.id, handler.serial) {
            next.history.blame(Fault::StaleReceipt);
        }
        next.handlers.retain(|other| other != handler);
    }
}
