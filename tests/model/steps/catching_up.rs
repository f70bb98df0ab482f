//! Subscribing, and catching up with tracked messages after it.

use crate::bounds::Start;
use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{CatchUp, Cursor, Status, TrackingRow, World};

impl Fanout {
    /// The transaction that writes subscription and cursor, after its tick has committed. When that was merged
    /// meanwhile, another is taken.
    pub(crate) fn subscribe(&self, world: &World) -> Option<World> {
        let Status::Ticked(number) = world.subscription.status else {
            return None;
        };
        let mut next = world.clone();
        let Some(tick) = world.tick(number) else {
            next.subscription.status = Status::Absent;
            return Some(next);
        };
        self.note(Event::Subscribed);
        let owed_from = match self.bounds.start? {
            Start::Now => None,
            Start::At(id) => Some(id),
        };
        let begin = match self.mistake {
            Mistake::StartsOneLate => 0,
            Mistake::StartsOneEarly => 2,
            _ => 1,
        };
        next.cursor = Cursor {
            tick: if owed_from.is_some() { 0 } else { number },
            through: number,
            last_id: match owed_from {
                // Without any tick there is nothing before the start that could be left out.
                Some(id) if number > 0 => id.saturating_sub(begin),
                _ => 0,
            },
            ..Cursor::default()
        };
        let subscription = &mut next.subscription;
        subscription.status = Status::Live;
        subscription.start_seen = tick.seen;
        subscription.start_tick = number;
        subscription.owed_from = owed_from;
        if self.bounds.ordered || self.mistake == Mistake::NoCatchUp {
            subscription.catch_up = CatchUp::Done;
        }
        Some(next)
    }

    /// The first call of `catch_up` reads the sequence.
    pub(crate) fn catch_up_first(&self, world: &World) -> Option<World> {
        let subscription = &world.subscription;
        if subscription.status != Status::Live || subscription.catch_up != CatchUp::Begins {
            return None;
        }
        let mut next = world.clone();
        let to = world.drawn();
        next.subscription.catch_up = CatchUp::Read { to };
        Some(next)
    }

    /// It lists the publishers.
    pub(crate) fn catch_up_second(&self, world: &World) -> Option<World> {
        let CatchUp::Read { to } = world.subscription.catch_up else {
            return None;
        };
        let mut next = world.clone();
        next.subscription.catch_up = CatchUp::Listed {
            to,
            publishers: self.publishers(world),
        };
        Some(next)
    }

    /// It gives the group what it is owed; later calls do so when one of the publishers has ended.
    pub(crate) fn catch_up_give(&self, world: &World) -> Option<World> {
        let subscription = &world.subscription;
        let (to, publishers, from) = match subscription.catch_up {
            CatchUp::Listed { to, publishers } => {
                let from = subscription
                    .owed_from
                    .map_or(u8::MAX, |id| id - 1)
                    .min(subscription.start_decided);
                (to, publishers, from)
            }
            CatchUp::Awaits { to, publishers } => {
                let open = publishers.and(self.publishers(world));
                if open == publishers {
                    return None;
                }
                (to, open, subscription.start_decided)
            }
            _ => return None,
        };
        let mut next = world.clone();
        for id in world.committed().iter() {
            let is_owed = if subscription.owed_from.is_some_and(|from| id >= from) {
                id > from
            } else {
                id > from.max(subscription.start_decided) && !subscription.start_seen.has(id)
            };
            if is_owed && id <= to && world.message(id).tracked && !world.required.has(id) {
                self.note(Event::GivenByCatchUp);
                *next.row_mut(id) = Some(TrackingRow::default());
                next.required.insert(id);
            }
        }
        next.subscription.catch_up =
            if publishers.is_empty() || self.mistake == Mistake::CatchesUpOnce {
                self.note(Event::CaughtUp);
                CatchUp::Done
            } else {
                CatchUp::Awaits { to, publishers }
            };
        Some(next)
    }
}
