//! What a member makes of a receipt by cursor: the engine's `Judgement`. The commit is sent, and not yet
//! executed.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Form, Handler, Ids, Lane, Stage, State, Update, World};

impl Fanout {
    pub(crate) fn done(&self, world: &World, handler: u8) -> Option<World> {
        let (handler, member, lane) = self.judged(world, handler)?;
        if !self.bounds.plain.has(handler.id) {
            return None;
        }
        let update = lane.update(Some(handler.id));
        self.send(world, member, handler, update)
    }

    /// A failure parks the message behind the cursor, or blocks the lane.
    pub(crate) fn fail(&self, world: &World, handler: u8) -> Option<World> {
        let (handler, member, lane) = self.judged(world, handler)?;
        if world.budget.failures == 0 {
            return None;
        }
        let mut update = if self.bounds.blocks {
            let mut update = lane.update(None);
            update.failures.insert(handler.id);
            update.blocks = Some(handler.id);
            update
        } else {
            let mut update = lane.update(Some(handler.id));
            update.settles = None;
            update.parks = Some(handler.id);
            update
        };
        update.serial = handler.serial;
        let mut next = self.send(world, member, handler, update)?;
        next.budget.failures -= 1;
        Some(next)
    }

    /// Tells the database where the lane stands.
    pub(crate) fn tell(&self, world: &World, member: u8) -> Option<World> {
        let lane = world.members[usize::from(member)].lane?;
        let is_ahead = self.bounds.merges && lane.is_ahead_of_the_database();
        let may_commit = !lane.suspect && !lane.uninformed && self.is_at_rest(world, member);
        if !may_commit || lane.folding.is_empty() && !is_ahead {
            return None;
        }
        let mut next = world.clone();
        self.start(&mut next, member, lane.update(None))?;
        Some(next)
    }

    /// A receipt that is current, in a lane that may commit, and whose settlement is in order.
    fn judged<'a>(&self, world: &'a World, handler: u8) -> Option<(&'a Handler, u8, Lane)> {
        let handler = world.handlers.get(usize::from(handler))?;
        let Form::Cursor { member, .. } = handler.form else {
            return None;
        };
        let lane = world.members[usize::from(member)].lane?;
        let may_commit = !lane.suspect && !lane.uninformed && self.is_at_rest(world, member);
        if handler.stage != Stage::InHand || !may_commit || !self.is_current(&lane, handler) {
            return None;
        }
        let before = lane.unsettled_before(handler.id);
        if self.bounds.ordered && !before.is_empty() {
            self.note(Event::OutOfOrder);
            if self.mistake != Mistake::SettlesOutOfOrder {
                return None;
            }
        }
        Some((handler, member, lane))
    }

    /// Whether the member has it in hand by this delivery.
    pub(super) fn is_current(&self, lane: &Lane, handler: &Handler) -> bool {
        let Some(State::InHand(serial)) = lane.state(handler.id) else {
            return false;
        };
        let is_of_epoch = matches!(handler.form, Form::Cursor { epoch, .. } if epoch == lane.epoch);
        is_of_epoch && (serial == handler.serial || self.mistake == Mistake::IgnoresDelivery)
    }

    fn send(
        &self,
        world: &World,
        member: u8,
        handler: &Handler,
        mut update: Update,
    ) -> Option<World> {
        let mut next = world.clone();
        update.serial = handler.serial;
        let mut handlers = next.handlers.iter_mut();
        handlers.find(|h| *h == handler)?.stage = Stage::Committing;
        self.start(&mut next, member, update)?;
        Some(next)
    }

    /// The statement takes its snapshot, by which it looks for settlements that the member does not know of.
    fn start(&self, next: &mut World, member: u8, mut update: Update) -> Option<()> {
        let settlements = next.lane_settlements;
        let in_tx = next.history.in_tx;
        let lane = self.lane(next, member)?;
        let known = lane.settled_elsewhere.or(lane.folding);
        lane.suspect = true;
        update.refused =
            !settlements.is_within(known) && self.mistake != Mistake::IgnoresSettlements;
        update.in_tx_before = update.settles.map_or(Ids::NONE, Ids::one).and(in_tx);
        next.members[usize::from(member)].commit = Some(update);
        Some(())
    }
}
