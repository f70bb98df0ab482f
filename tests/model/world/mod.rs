//! The state: what the database holds, what members remember, who has what in hand.

mod cursor;
mod decider;
mod handler;
mod history;
mod ids;
mod lane;
mod member;
mod message;
mod subscription;
mod tick;

pub(crate) use self::cursor::{Cursor, Update};
pub(crate) use self::decider::{Decider, Step};
pub(crate) use self::handler::{Form, Handler, Stage};
pub(crate) use self::history::{Fault, History};
pub(crate) use self::ids::Ids;
pub(crate) use self::lane::{Lane, Place, State};
pub(crate) use self::member::Member;
pub(crate) use self::message::{Message, Phase};
pub(crate) use self::subscription::{CatchUp, Status, Subscription};
pub(crate) use self::tick::{Tick, Ticker};
use crate::bounds::Budget;

/// Room for ids from 0 to 7; messages have those from 1 on.
pub(crate) const MESSAGES: usize = 8;

/// A tracking row: of `outbox_consumer_groups_<topic>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct TrackingRow {
    /// 0: not leased.
    pub(crate) token: u8,
    /// Its lease has ended.
    pub(crate) expired: bool,
    pub(crate) parked: bool,
}

/// One topic with one lane, and one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// `completion_mode`.
    pub(crate) counts_references: bool,
    pub(crate) messages: [Message; MESSAGES],
    /// In order of number.
    pub(crate) ticks: Vec<Tick>,
    pub(crate) tickers: [Ticker; 2],
    pub(crate) decider: Decider,
    pub(crate) subscription: Subscription,
    pub(crate) cursor: Cursor,
    pub(crate) members: [Member; 2],
    /// A commit whose caller has gone.
    pub(crate) orphan: Option<Update>,
    pub(crate) tracking: [Option<TrackingRow>; MESSAGES],
    /// Tracked messages that have the group's bit.
    pub(crate) required: Ids,
    /// Committed rows of `outbox_settlements` with a lane, and without.
    pub(crate) lane_settlements: Ids,
    pub(crate) row_settlements: Ids,
    /// What a fold has read that keeps no lock, or has done half: planted mistakes only.
    pub(crate) half_folded: Ids,
    /// Sorted, since who was first does not matter.
    pub(crate) handlers: Vec<Handler>,
    pub(crate) budget: Budget,
    pub(crate) history: History,
}

impl World {
    pub(crate) fn message(&self, id: u8) -> &Message {
        &self.messages[usize::from(id)]
    }

    pub(crate) fn message_mut(&mut self, id: u8) -> &mut Message {
        &mut self.messages[usize::from(id)]
    }

    pub(crate) fn in_phase(&self, phases: &[Phase]) -> Ids {
        Ids::up_to(7).matching(|id| phases.contains(&self.message(id).phase))
    }

    pub(crate) fn committed(&self) -> Ids {
        self.in_phase(&[Phase::Committed])
    }

    /// Those that may still commit.
    pub(crate) fn open(&self) -> Ids {
        self.in_phase(&[Phase::Drawn, Phase::Inserted])
    }

    /// What the sequence has given last.
    pub(crate) fn drawn(&self) -> u8 {
        let drawn = (1..8).rev();
        let mut drawn = drawn.filter(|id| self.message(*id).phase != Phase::Unpublished);
        drawn.next().unwrap_or(0)
    }

    pub(crate) fn newest_tick(&self) -> Tick {
        self.ticks.last().copied().unwrap_or_default()
    }

    /// A tick that exists.
    pub(crate) fn tick(&self, number: u8) -> Option<Place> {
        if number == 0 {
            return Some(Place::default());
        }
        let tick = self.ticks.iter().find(|tick| tick.number == number)?;
        Some(Place {
            number,
            seen: tick.seen,
        })
    }

    /// The ticks at which the cursor stands, if they exist: the join of `hold_lanes`.
    pub(crate) fn cursor_places(&self) -> Option<(Place, Place)> {
        Some((
            self.tick(self.cursor.tick)?,
            self.tick(self.cursor.through)?,
        ))
    }

    /// The committed messages that the cursor says are settled.
    pub(crate) fn covered(&self) -> Ids {
        let Some((tick, through)) = self.cursor_places() else {
            return Ids::NONE;
        };
        let mut covered = tick.seen;
        if self.cursor.through > self.cursor.tick {
            let settled = Ids::up_to(self.cursor.last_id).or(self.cursor.ahead);
            covered = covered.or(through.seen.and(settled));
        }
        covered.and(self.committed())
    }

    pub(crate) fn row(&self, id: u8) -> Option<TrackingRow> {
        self.tracking[usize::from(id)]
    }

    pub(crate) fn row_mut(&mut self, id: u8) -> &mut Option<TrackingRow> {
        &mut self.tracking[usize::from(id)]
    }

    pub(crate) fn rows(&self) -> Ids {
        Ids::up_to(7).matching(|id| self.row(id).is_some())
    }

    /// Messages with a committed row in `outbox_settlements`.
    pub(crate) fn settlements(&self) -> Ids {
        self.lane_settlements.or(self.row_settlements)
    }

    /// What the group is owed, by the contract.
    pub(crate) fn owed(&self) -> Ids {
        if self.subscription.status != Status::Live {
            return Ids::NONE;
        }
        let (seen, from) = (self.subscription.start_seen, self.subscription.owed_from);
        self.committed()
            .matching(|id| !seen.has(id) || from.is_some_and(|from| id >= from))
    }

    /// Of epochs and versions it matters only whether they are those of the cursor: numbers them anew, so that
    /// states which differ in nothing else are one. Forgets what only merging asks for.
    pub(crate) fn renumber(&mut self, merges: bool) {
        let Cursor {
            epoch,
            reign,
            version,
            ..
        } = self.cursor;
        if reign == 0 {
            return;
        }
        let anew = |number: &mut u8, present: u8| *number = 1 + u8::from(*number == present);
        let of_update = |update: &mut Update| {
            anew(&mut update.epoch, epoch);
            anew(&mut update.reign, reign);
            anew(&mut update.version, version);
        };
        for member in &mut self.members {
            if let Some(lane) = &mut member.lane {
                anew(&mut lane.epoch, epoch);
                anew(&mut lane.reign, reign);
                anew(&mut lane.version, version);
                if !merges {
                    lane.forget_stored();
                }
            }
            member.commit.as_mut().map(of_update);
            if !merges {
                (member.oldest_tick, member.enrolled) = (0, false);
            }
        }
        self.orphan.as_mut().map(of_update);
        for handler in &mut self.handlers {
            if let Form::Cursor { epoch: of, .. } = &mut handler.form {
                anew(of, epoch);
            }
        }
        (self.cursor.epoch, self.cursor.reign, self.cursor.version) = (2, 2, 2);
    }

    /// Notes a delivery; returns its number.
    pub(crate) fn deliver(&mut self, id: u8, leased: bool, ordered: bool) -> u8 {
        let owed = self.owed();
        let history = &mut self.history;
        if !owed.has(id) {
            history.blame(Fault::Phantom);
        }
        if leased && history.acknowledged.has(id) {
            history.blame(Fault::SettledTwice);
        }
        let before = self.messages[usize::from(id)].after.and(owed);
        if ordered && !before.is_within(history.delivered) {
            history.blame(Fault::DeliveredEarly);
        }
        history.deliver(id, leased)
    }

    /// Notes that a message was settled by a call of its own. `in_tx_before` is what callers'
    /// transactions had settled by the snapshot of its statement.
    pub(crate) fn settled(&mut self, id: u8, in_tx_before: Ids, ordered: bool) {
        self.judge_order(id, ordered);
        if self.history.plain.has(id) || in_tx_before.has(id) {
            self.history.blame(Fault::SettledTwice);
        }
        self.history.plain.insert(id);
    }

    pub(crate) fn settled_in_tx(&mut self, id: u8, ordered: bool) {
        self.judge_order(id, ordered);
        if self.history.in_tx.has(id) {
            self.history.blame(Fault::SettledTwice);
        }
        self.history.in_tx.insert(id);
    }

    fn judge_order(&mut self, id: u8, ordered: bool) {
        let before = self.messages[usize::from(id)].after.and(self.owed());
        let done = self.history.settled().or(self.history.parked);
        // What was parked stands in no order any more.
        if ordered && !self.history.parked.has(id) && !before.is_within(done) {
            self.history.blame(Fault::SettledEarly);
        }
    }
}
