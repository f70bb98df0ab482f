//! Lanes: `hold_lanes`, the end of a lease, and maintenance's `advance_free_lanes`.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Form, Ids, Lane, Status, World};

impl Fanout {
    /// Takes the lane when it is free: lease, epoch and the member's row in one transaction.
    pub(crate) fn take(&self, world: &World, member: u8) -> Option<World> {
        let cursor = &world.cursor;
        let ends = cursor.expired || self.mistake == Mistake::TakesLeased;
        let is_free = cursor.owner.is_none() || ends && cursor.owner != Some(member);
        if !self.is_at_rest(world, member) || !is_free || world.subscription.status != Status::Live
        {
            return None;
        }
        // Members are alike until one of them takes the lane: say that it is the first.
        if cursor.reign == 0 && member > 0 {
            return None;
        }
        self.note(Event::Taken);
        let mut next = world.clone();
        if let Some(former) = cursor.owner {
            // What is left of a member that vanished.
            next.members[usize::from(former)].enrolled = false;
            self.note(Event::TakenFromAnother);
        }
        self.raise_epoch(&mut next, self.mistake != Mistake::TakesWithoutEpoch);
        next.cursor.owner = Some(member);
        next.cursor.expired = false;
        // No row of the join, no lane: when a tick of the cursor is gone.
        let places = next.cursor_places();
        let newest = next.newest_tick().number;
        let of = &mut next.members[usize::from(member)];
        of.lane = places.map(|(tick, through)| Lane::new(&next.cursor, tick, through));
        (of.oldest_tick, of.enrolled) = (newest, true);
        Some(next)
    }

    /// Renews a lease, and says anew which ticks the member needs.
    pub(crate) fn renew(&self, world: &World, member: u8) -> Option<World> {
        let of = world.members.get(usize::from(member))?;
        if !self.is_at_rest(world, member) || world.cursor.owner != Some(member) {
            return None;
        }
        let unstored = of.lane.and_then(|lane| lane.unstored_ticks().min());
        let newest = world.newest_tick().number;
        let oldest = unstored.map_or(newest, |tick| tick.min(newest));
        let is_news = self.bounds.merges && oldest != of.oldest_tick;
        if !is_news && !world.cursor.expired {
            return None;
        }
        self.note(Event::Renewed);
        let mut next = world.clone();
        next.cursor.expired = false;
        let (epoch, version) = (next.cursor.epoch, next.cursor.version);
        let of = &mut next.members[usize::from(member)];
        (of.oldest_tick, of.enrolled) = (oldest, true);
        match &mut of.lane {
            Some(lane) if lane.epoch == epoch => lane.suspect |= lane.version != version,
            _ => return None,
        }
        Some(next)
    }

    /// Gives the lane up with nothing in hand, and with it its epoch.
    pub(crate) fn give_up(&self, world: &World, member: u8) -> Option<World> {
        let lane = world.members[usize::from(member)].lane?;
        let is_idle = !lane.suspect && !lane.has_in_hand();
        if !self.is_at_rest(world, member) || !is_idle || world.budget.given_up == 0 {
            return None;
        }
        self.note(Event::GivenUp);
        let mut next = world.clone();
        next.budget.given_up -= 1;
        if next.cursor.owner == Some(member) {
            next.cursor.owner = None;
            next.cursor.expired = false;
            self.raise_epoch(&mut next, true);
        }
        let newest = next.newest_tick().number;
        let of = &mut next.members[usize::from(member)];
        of.lane = None;
        (of.oldest_tick, of.enrolled) = (newest, true);
        Some(next)
    }

    /// Time passes beyond the lane's lease, and so beyond those of its deliveries.
    pub(crate) fn end_lane_lease(&self, world: &World) -> Option<World> {
        let owner = world.cursor.owner?;
        if world.cursor.expired || world.budget.lane_leases == 0 {
            return None;
        }
        self.note(Event::LaneLeaseEnded);
        let mut next = world.clone();
        next.budget.lane_leases -= 1;
        next.cursor.expired = true;
        for handler in &mut next.handlers {
            handler.leased &=
                !matches!(handler.form, Form::Cursor { member, .. } if member == owner);
        }
        Some(next)
    }

    /// Maintenance ends the lease of an owner that vanished and moves the cursor of a lane without owner to the
    /// newest tick, if nothing is owed up to it.
    pub(crate) fn maintain(&self, world: &World) -> Option<World> {
        let cursor = &world.cursor;
        let is_lost = cursor.owner.is_some() && cursor.expired;
        let newest = world.newest_tick();
        let owed = newest.seen.less(world.covered()).less(world.settlements());
        let owed = owed.matching(|id| self.is_read_by_cursor(world, id));
        let moves = cursor.tick < newest.number && owed.is_empty();
        let is_free = cursor.owner.is_none() || cursor.expired;
        let is_live = world.subscription.status == Status::Live;
        if !self.bounds.maintains || !is_live || !is_free || !(is_lost || moves) {
            return None;
        }
        self.note(Event::Maintained);
        let mut next = world.clone();
        if let (Some(former), true) = (cursor.owner, is_lost) {
            next.cursor.owner = None;
            next.cursor.expired = false;
            next.members[usize::from(former)].enrolled = false;
            self.raise_epoch(&mut next, true);
        }
        if moves {
            next.cursor.tick = newest.number;
            next.cursor.through = newest.number;
            next.cursor.last_id = 0;
            next.cursor.ahead = Ids::NONE;
            next.cursor.version += 1;
            next.lane_settlements = Ids::NONE;
        }
        Some(next)
    }

    fn raise_epoch(&self, next: &mut World, raises: bool) {
        next.cursor.epoch += u8::from(raises);
        next.cursor.reign += 1;
        next.cursor.version += 1;
    }

    /// Nothing of its session is under way: one call at a time.
    pub(super) fn is_at_rest(&self, world: &World, member: u8) -> bool {
        member < self.bounds.members && world.members[usize::from(member)].commit.is_none()
    }

    /// Whether the group reads a message by its cursor.
    pub(crate) fn is_read_by_cursor(&self, world: &World, id: u8) -> bool {
        self.bounds.ordered && self.mistake != Mistake::OrderedGroupTakesRows
            || !world.message(id).tracked
            || self.mistake == Mistake::CursorTakesTracked
    }
}
