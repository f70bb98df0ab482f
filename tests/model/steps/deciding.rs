//! Decided ids: `decide`.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Ids, Phase, Step, World};

impl Fanout {
    /// Locks the row and reads the sequence.
    pub(crate) fn decide_first(&self, world: &World) -> Option<World> {
        let is_idle = world.decider.step == Step::Idle;
        if !self.bounds.decides || !is_idle || world.decider.decided >= world.drawn() {
            return None;
        }
        let mut next = world.clone();
        next.decider.step = if self.mistake == Mistake::DecidedInWrongOrder {
            Step::Listed {
                publishers: self.publishers(world),
            }
        } else {
            Step::Read {
                drawn: world.drawn(),
            }
        };
        Some(next)
    }

    /// Lists the publishers, and notes what follows.
    pub(crate) fn decide_second(&self, world: &World) -> Option<World> {
        let (drawn, publishers) = match world.decider.step {
            Step::Idle => return None,
            Step::Read { drawn } => (drawn, self.publishers(world)),
            Step::Listed { publishers } => (world.drawn(), publishers),
        };
        let mut next = world.clone();
        let decider = &mut next.decider;
        decider.step = Step::Idle;
        let awaited = decider.candidate.map_or(Ids::NONE, |(_, awaited)| awaited);
        let remaining = awaited.and(publishers);
        if let (Some((_, awaited)), false) = (&mut decider.candidate, remaining.is_empty()) {
            *awaited = remaining;
            return Some(next);
        }
        if let Some((id, _)) = decider.candidate.take() {
            self.note(Event::DecidedLater);
            decider.decided = decider.decided.max(id);
        }
        if publishers.is_empty() {
            self.note(Event::Decided);
            decider.decided = decider.decided.max(drawn);
        } else if drawn > decider.decided {
            decider.candidate = Some((drawn, publishers));
        }
        Some(next)
    }

    /// The holders of the publish lock.
    pub(super) fn publishers(&self, world: &World) -> Ids {
        if self.mistake == Mistake::PublishLockAfterId {
            return world.in_phase(&[Phase::Inserted]);
        }
        world.open()
    }
}
