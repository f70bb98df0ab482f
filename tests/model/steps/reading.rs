//! Reading spans, and handing out what they hold.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Form, Handler, Ids, Lane, Member, Place, Stage, State, World};

impl Fanout {
    /// Enters the span up to a tick, or the one that the cursor promised to finish: `read_<topic>`.
    pub(crate) fn enter(&self, world: &World, member: u8, tick: u8) -> Option<World> {
        let of = &world.members[usize::from(member)];
        let lane = of.lane.filter(|lane| !lane.suspect)?;
        let promised = lane.span.map(|span| (span.through.number, span.read));
        let may_enter = match promised {
            Some((through, false)) => tick == through,
            Some((_, true)) => false,
            None => tick > lane.tick.number && self.may_use(of, tick),
        };
        if !self.is_at_rest(world, member) || !may_enter || !self.looks_at_cursor(world) {
            return None;
        }
        let through = world.tick(tick)?;
        self.note(Event::Entered);
        if promised.is_some() {
            self.note(Event::EnteredPromisedSpan);
        }
        let mut read = self.read(world, lane.tick, through);
        if self.mistake == Mistake::ReadsAboveLast {
            let highest = lane.tick.seen.iter().next_back().unwrap_or(0);
            read = read.less(Ids::up_to(highest));
        }
        if promised.is_some() && self.mistake == Mistake::ForgetsPromisedSpan {
            read = Ids::NONE;
        }
        let mut next = world.clone();
        self.lane(&mut next, member)?.enter(through, read);
        Some(next)
    }

    /// Extends a span that was handed out as a whole to a later tick.
    pub(crate) fn extend(&self, world: &World, member: u8, tick: u8) -> Option<World> {
        let of = &world.members[usize::from(member)];
        let lane = of.lane.filter(|lane| !lane.suspect && !lane.blocked)?;
        let span = lane.span.filter(|span| span.read)?;
        let is_later = tick > span.through.number && self.may_use(of, tick);
        let waits = lane.next_due().is_some() || lane.is_empty();
        if !self.is_at_rest(world, member) || !is_later || waits || !self.looks_at_cursor(world) {
            return None;
        }
        let through = world.tick(tick)?;
        self.note(Event::Extended);
        let read = self.read(world, span.through, through);
        if !read.and(Ids::up_to(lane.last_id)).is_empty() {
            self.note(Event::ExtendedBelow);
        }
        let restates = self.mistake != Mistake::ExtendsWithoutRestating;
        let mut next = world.clone();
        self.lane(&mut next, member)?
            .extend(through, read, restates);
        Some(next)
    }

    /// The rows of a span: what the later tick sees and the earlier does not, where the ticks say that
    /// something is.
    fn read(&self, world: &World, from: Place, through: Place) -> Ids {
        let ticks = world.ticks.iter();
        let between =
            ticks.filter(|tick| tick.number > from.number && tick.number <= through.number);
        let ranges = between.fold(Ids::NONE, |ranges, tick| ranges.or(tick.ranges));
        let rows = through.seen.less(from.seen).and(ranges);
        rows.matching(|id| self.is_read_by_cursor(world, id))
    }

    /// Hands out the next message of the lane.
    pub(crate) fn hand_out(&self, world: &World, member: u8) -> Option<World> {
        let lane = world.members[usize::from(member)].lane?;
        let id = match self.mistake {
            Mistake::HandsOutBackwards => lane.due().last(),
            _ => lane.next_due(),
        };
        let id = id.filter(|_| self.is_at_rest(world, member))?;
        // A member that has lost its lane, and does not know yet, promises a time that has passed.
        let leased = holds(world, member, &lane);
        self.note(if leased {
            Event::HandedOut
        } else {
            Event::HandedOutLate
        });
        let mut next = world.clone();
        let serial = next.deliver(id, leased, self.bounds.ordered);
        self.lane(&mut next, member)?.set(id, State::InHand(serial));
        next.handlers.push(Handler {
            id,
            serial,
            form: Form::Cursor {
                member,
                epoch: lane.epoch,
            },
            leased,
            stage: Stage::InHand,
        });
        Some(next)
    }

    /// Takes back what has been in hand for too long, as of a look, which renews the lane's lease or finds it
    /// lost, and tells what callers' transactions have settled.
    pub(crate) fn take_back(&self, world: &World, member: u8) -> Option<World> {
        let lane = world.members[usize::from(member)].lane?;
        let has_ended = |id: u8, state: State| {
            let of = |h: &&Handler| h.id == id && State::InHand(h.serial) == state;
            let mut handlers = world.handlers.iter().filter(of);
            matches!(state, State::InHand(_)) && handlers.all(|handler| !handler.leased)
        };
        let rows = lane.rows();
        let ended = rows.filter(|(id, row)| has_ended(*id, row.state));
        let ended: Ids = ended.map(|(id, _)| id).collect();
        let looks = self.is_at_rest(world, member)
            && holds(world, member, &lane)
            && lane.settled_elsewhere == world.lane_settlements;
        if ended.is_empty() || !looks {
            return None;
        }
        self.note(Event::TakenBack);
        let mut next = world.clone();
        let lane = self.lane(&mut next, member)?;
        for id in ended.iter() {
            lane.set(id, State::Again);
        }
        Some(next)
    }

    /// `lane_settlements`: what callers' transactions have settled of the lane.
    pub(crate) fn note_settlements(&self, world: &World, member: u8) -> Option<World> {
        let lane = world.members[usize::from(member)].lane?;
        let found = world.lane_settlements;
        let is_news = lane.uninformed || lane.settled_elsewhere != found;
        if !is_news || !self.is_at_rest(world, member) {
            return None;
        }
        self.note(Event::Noted);
        let mut next = world.clone();
        self.lane(&mut next, member)?.note_settled_elsewhere(found);
        Some(next)
    }

    /// `read_cursors`, after a commit of which it is not known whether it happened. It raises the version, so that
    /// the commit does not happen later.
    pub(crate) fn reread(&self, world: &World, member: u8) -> Option<World> {
        let lane = world.members[usize::from(member)].lane?;
        if !lane.suspect || !self.is_at_rest(world, member) {
            return None;
        }
        self.note(Event::Reread);
        let mut next = world.clone();
        let places = world.cursor_places();
        let Some((tick, through)) = places.filter(|_| world.cursor.epoch == lane.epoch) else {
            self.note(Event::LaneLost);
            next.members[usize::from(member)].lane = None;
            return Some(next);
        };
        if lane.version != world.cursor.version {
            self.note(Event::Adopted);
        }
        next.cursor.version += u8::from(self.mistake != Mistake::RereadsWithoutFence);
        let cursor = next.cursor;
        self.lane(&mut next, member)?.adopt(&cursor, tick, through);
        Some(next)
    }

    pub(super) fn lane<'a>(&self, next: &'a mut World, member: u8) -> Option<&'a mut Lane> {
        next.members[usize::from(member)].lane.as_mut()
    }

    /// Ticks from the member's oldest on are not merged away.
    fn may_use(&self, member: &Member, tick: u8) -> bool {
        !self.bounds.merges || tick >= member.oldest_tick
    }

    fn looks_at_cursor(&self, world: &World) -> bool {
        self.bounds.ordered || !world.counts_references || self.mistake != Mistake::ForgetsOldPath
    }
}

/// Whether the member owns the lane in truth, under a lease that has not ended.
fn holds(world: &World, member: u8, lane: &Lane) -> bool {
    let cursor = &world.cursor;
    cursor.owner == Some(member) && !cursor.expired && cursor.reign == lane.reign
}
