//! Where a lane's cursor stands, here and in the database.

use std::collections::BTreeSet;
use std::sync::Arc;

use fanout_core::{IdSet, Timestamp, planted};

use super::entry::{Entry, State};
use super::{LaneState, Position};
use crate::cursor::log_row::LogRow;
use crate::cursor::tick::Tick;
use crate::storage::cursor_commits::CursorUpdate;
use crate::storage::cursors::Cursor;

impl LaneState {
    /// Takes over what the database holds, after a commit whose end is not known.
    pub(crate) fn adopt(&mut self, cursor: Cursor) {
        self.version = cursor.version;
        self.stored = (cursor.tick.number, cursor.through.number);
        self.failures = cursor.failures;
        self.blocked_until = cursor.blocked_until;
        self.trial = cursor.trial;
        self.suspect = false;
        if cursor.tick.number > self.tick.number {
            // The span is finished; all of its rows are settled.
            self.tick = cursor.tick;
            self.leave_span();
            return;
        }
        let in_span = cursor.through.number > cursor.tick.number;
        for (id, entry) in &mut self.rows {
            let seen = |row: &Arc<LogRow>| cursor.through.snapshot.sees(row.transaction);
            let covered = in_span
                && (*id <= cursor.last_id || cursor.ahead.contains(*id))
                && entry.row.as_ref().is_none_or(seen);
            if covered {
                entry.settle();
            }
        }
        self.compact();
    }

    /// Begins anew where the database says, when this session's ticks are gone, as after its server was
    /// replaced: what is in hand rests until its leases have ended.
    pub(crate) fn restart(&mut self, cursor: Cursor, max_stalls: u32) {
        let held = self.rows.values().filter_map(|entry| match entry.state {
            State::InHand { until, .. } => Some(until),
            _ => None,
        });
        let resting_until = held.max().max(self.resting_until);
        let next_delivery = self.next_delivery;
        *self = Self::new(self.group, cursor, self.expires_at, max_stalls);
        (self.resting_until, self.next_delivery) = (resting_until, next_delivery);
    }

    /// The ticks that this lane has in memory alone.
    pub(crate) fn unstored_ticks(&self) -> impl Iterator<Item = i64> + '_ {
        let (tick, through) = self.place();
        let stored = [self.stored.0, self.stored.1];
        [tick, through]
            .into_iter()
            .filter(move |tick| !stored.contains(tick))
    }

    /// All ticks that it stands at.
    pub(crate) fn ticks(&self) -> Vec<Tick> {
        let through = self.span.as_ref().map(|span| span.block.through.clone());
        std::iter::once(self.tick.clone()).chain(through).collect()
    }

    fn place(&self) -> (i64, i64) {
        let through = self
            .span
            .as_ref()
            .map_or(self.tick.number, |span| span.block.through.number);
        (self.tick.number, through)
    }

    /// Whether the database does not know yet where it stands.
    pub(crate) fn is_ahead_of_the_database(&self) -> bool {
        self.place() != self.stored
    }

    /// Moves `last_id` over what is settled without a gap. Rows that are not settled are none of `ahead`.
    pub(in crate::cursor) fn compact(&mut self) {
        while let Some(first) = self.rows.first_entry()
            && first.get().state == State::Settled
        {
            self.last_id = *first.key();
            first.remove();
        }
        let next = self.ahead.contiguous_after(self.last_id);
        self.last_id = next;
        self.ahead.remove_up_to(next);
    }

    /// Notes what callers' transactions have settled.
    pub(crate) fn note_settled_elsewhere(&mut self, ids: BTreeSet<i64>) {
        for id in &ids {
            if let Some(entry) = self.rows.get_mut(id)
                && entry.state != State::Settled
            {
                entry.settle();
                self.folding.insert(*id);
            }
        }
        self.settled_elsewhere = ids;
        self.compact();
    }

    /// Where the cursor stands when `settled` is settled too.
    pub(in crate::cursor) fn position(&self, settled: &BTreeSet<i64>) -> Position {
        let (tick, through) = self.place();
        let Some(span) = &self.span else {
            return Position {
                tick,
                through,
                last_id: 0,
                ahead: IdSet::new(),
            };
        };
        let is_settled =
            |id: &i64, entry: &Entry| entry.state == State::Settled || settled.contains(id);
        if span.complete && self.rows.iter().all(|(id, entry)| is_settled(id, entry)) {
            return Position {
                tick: through,
                through,
                last_id: 0,
                ahead: IdSet::new(),
            };
        }
        // Neighbours in the lane's span make one range, whatever other ids lie between them.
        let mut ahead = self.ahead.clone();
        let mut last_id = self.last_id;
        let mut is_prefix = true;
        let mut run: Option<(i64, i64)> = None;
        for (id, entry) in &self.rows {
            if is_settled(id, entry) {
                if is_prefix {
                    last_id = *id;
                } else {
                    run = Some((run.map_or(*id, |(first, _)| first), *id));
                }
            } else {
                is_prefix = planted!(PassesUnsettled);
                if let Some((first, last)) = run.take() {
                    ahead.insert_range(first..=last);
                }
            }
        }
        if let Some((first, last)) = run {
            ahead.insert_range(first..=last);
        }
        last_id = ahead.contiguous_after(last_id);
        ahead.remove_up_to(last_id);
        Position {
            tick,
            through,
            last_id,
            ahead,
        }
    }

    /// A change of the cursor to where it stands when `settled` is settled too.
    pub(in crate::cursor) fn update(&self, settled: &BTreeSet<i64>) -> CursorUpdate {
        let position = self.position(settled);
        CursorUpdate {
            group: self.group,
            lane: self.lane,
            epoch: self.epoch,
            version: self.version,
            tick: position.tick,
            through: position.through,
            last_id: position.last_id,
            ahead: position.ahead,
            failures: self.failures.clone(),
            blocked_until: self.blocked_until,
            block_for: None,
            trial: self.trial,
            progressed: !settled.is_empty(),
            parks: Vec::new(),
            dead: Vec::new(),
            folded: self.folding.iter().copied().collect(),
            known: self
                .settled_elsewhere
                .union(&self.folding)
                .copied()
                .collect(),
        }
    }

    /// The database has made a change.
    pub(in crate::cursor) fn updated(&mut self, update: &CursorUpdate, moment: Timestamp) {
        self.version += 1;
        self.suspect = false;
        self.stored = (update.tick, update.through);
        self.failures.clone_from(&update.failures);
        let blocked = update.block_for.map(|by| moment + by);
        self.blocked_until = update.blocked_until.max(blocked);
        self.trial = update.trial;
        for id in &update.folded {
            self.folding.remove(id);
            self.settled_elsewhere.remove(id);
        }
    }
}
