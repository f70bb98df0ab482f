//! Publishers: `fanout.publish` in a transaction of the caller.

use crate::fanout::Fanout;
use crate::mistake::Mistake;
use crate::reached::Event;
use crate::world::{Ids, Message, Phase, Status, TrackingRow, World};

impl Fanout {
    /// The publish lock, then the next id.
    pub(crate) fn draw(&self, world: &World) -> Option<World> {
        self.bounds
            .splits_publishing()
            .then(|| self.drawn(world))
            .flatten()
    }

    /// Elsewhere it makes no difference when an id is drawn, but for what has committed before: so that many
    /// are drawn at the beginning, and after each commit.
    pub(crate) fn beginnings(&self, world: &World) -> Vec<World> {
        if self.bounds.splits_publishing() {
            return vec![world.clone()];
        }
        (1..=self.bounds.messages)
            .filter_map(|n| self.drawn_at_once(world.clone(), n))
            .collect()
    }

    fn drawn_at_once(&self, world: World, n: u8) -> Option<World> {
        (0..n).try_fold(world, |world, _| self.drawn(&world))
    }

    /// Draws after a commit or a rollback: so many, and at least one when nothing else is open.
    fn goes_on(&self, next: World, draws: u8) -> Option<World> {
        let is_last = next.drawn() == self.bounds.messages || !next.open().is_empty();
        let separately = self.bounds.splits_publishing();
        if separately && draws > 0 || !separately && draws == 0 && !is_last {
            return None;
        }
        self.drawn_at_once(next, draws)
    }

    fn drawn(&self, world: &World) -> Option<World> {
        let id = world.drawn() + 1;
        if id > self.bounds.messages {
            return None;
        }
        let mut next = world.clone();
        let committed = next.committed();
        let message = next.message_mut(id);
        message.phase = Phase::Drawn;
        if self.bounds.ordered {
            message.after = committed;
        }
        if !self.bounds.splits_publishing() {
            // What the INSERT reads never changes.
            return self.insert(&next, id);
        }
        Some(next)
    }

    /// The INSERT reads the mode, its trigger the subscriptions.
    pub(crate) fn insert(&self, world: &World, id: u8) -> Option<World> {
        if world.message(id).phase != Phase::Drawn {
            return None;
        }
        let tracked = world.counts_references;
        let has_group = world.subscription.status == Status::Live
            && (!self.bounds.ordered || self.mistake == Mistake::OrderedGroupTakesRows);
        let mut next = world.clone();
        let message = next.message_mut(id);
        message.phase = Phase::Inserted;
        message.tracked = tracked;
        message.sees_group = tracked && has_group && self.mistake != Mistake::NoTrackingRow;
        Some(next)
    }

    pub(crate) fn commit(&self, world: &World, id: u8, draws: u8) -> Option<World> {
        if world.message(id).phase != Phase::Inserted {
            return None;
        }
        let mut next = world.clone();
        self.note(Event::Published);
        if !world.committed().is_within(Ids::up_to(id)) {
            self.note(Event::CommittedLate);
        }
        let message = next.message_mut(id);
        message.phase = Phase::Committed;
        if std::mem::take(&mut message.sees_group) {
            *next.row_mut(id) = Some(TrackingRow::default());
            next.required.insert(id);
        }
        self.goes_on(next, draws)
    }

    pub(crate) fn roll_back(&self, world: &World, id: u8, draws: u8) -> Option<World> {
        if world.message(id).phase != Phase::Inserted || world.budget.rollbacks == 0 {
            return None;
        }
        self.note(Event::RolledBack);
        let mut next = world.clone();
        next.budget.rollbacks -= 1;
        *next.message_mut(id) = Message {
            phase: Phase::RolledBack,
            ..Default::default()
        };
        self.goes_on(next, draws)
    }

    /// `UPDATE outbox_topics SET completion_mode`.
    pub(crate) fn change_mode(&self, world: &World) -> Option<World> {
        if world.budget.mode_changes == 0 {
            return None;
        }
        self.note(Event::ModeChanged);
        let mut next = world.clone();
        next.budget.mode_changes -= 1;
        next.counts_references = !next.counts_references;
        Some(next)
    }
}
