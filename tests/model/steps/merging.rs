//! Merging ticks: `merge_ticks`.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{CatchUp, Ids, Status, World};

impl Fanout {
    /// Deletes the ticks that nobody needs; the next ones that stay cover what they covered. Under the merge
    /// lock, which whoever makes the cursor stand at a tick holds shared, or else is protected by its
    /// member's row: so it is one step.
    pub(crate) fn merge(&self, world: &World) -> Option<World> {
        let victims: Vec<u8> = world.ticks.iter().map(|tick| tick.number).collect();
        let victims: Vec<u8> = victims
            .into_iter()
            .filter(|number| self.is_free(world, *number))
            .collect();
        if !self.bounds.merges || victims.is_empty() {
            return None;
        }
        self.note(Event::Merged);
        let mut next = world.clone();
        let mut ranges = Ids::NONE;
        next.ticks.retain_mut(|tick| {
            ranges = ranges.or(tick.ranges);
            let stays = !victims.contains(&tick.number);
            if stays {
                tick.ranges = std::mem::take(&mut ranges);
            }
            stays
        });
        Some(next)
    }

    /// `free_ticks`.
    fn is_free(&self, world: &World, number: u8) -> bool {
        let cursor = &world.cursor;
        let subscription = &world.subscription;
        let of_cursor = subscription.status == Status::Live
            && (number == cursor.tick || number == cursor.through);
        let of_member = world
            .members
            .iter()
            .any(|member| member.enrolled && member.oldest_tick <= number);
        let of_start = subscription.status == Status::Live
            && subscription.start_tick == number
            && subscription.catch_up != CatchUp::Done;
        number < world.newest_tick().number
            && (!of_cursor || self.mistake == Mistake::MergesTickOfCursor)
            && (!of_member || self.mistake == Mistake::MergesTickOfMember)
            && !of_start
    }
}
