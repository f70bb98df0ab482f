//! One lane of a group, as its owner sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use fanout_core::{GroupIndex, IdSet, Lane, Snapshot, Timestamp};

use super::block::{Block, Page};
use super::log_row::LogRow;
use super::tick::Tick;
use crate::storage::cursors::{Cursor, CursorUpdate};

/// With this many ranges settled ahead a lane delivers nothing more: its cursor would grow too large.
const MAX_RANGES: usize = 500;

/// A lane that this session owns: where its cursor stands, what of its span has been read, and what is
/// in hand. Pure: the session reads and commits.
#[derive(Debug)]
pub(crate) struct LaneState {
    pub(crate) group: GroupIndex,
    pub(crate) lane: Lane,
    pub(crate) epoch: i64,
    pub(crate) version: i64,
    /// When the lease on it ends.
    pub(crate) expires_at: Timestamp,
    /// A commit may or may not have happened: the cursor must be read again first.
    pub(crate) suspect: bool,
    /// The end of its span is gone: it must begin anew where the database says.
    pub(crate) astray: bool,
    /// The tick and the span's end that the database holds.
    stored: (i64, i64),
    pub(super) tick: Tick,
    span: Option<Reading>,
    /// Of the span, all up to this id is settled.
    last_id: i64,
    /// And so is this, of what is not among the rows.
    ahead: IdSet,
    /// How often the span was extended.
    rank: u32,
    /// More committed late than fits into the span: it ends as it is.
    is_full: bool,
    /// What was read of the span above `last_id`.
    pub(super) rows: BTreeMap<i64, Entry>,
    pub(super) failures: BTreeMap<i64, u32>,
    pub(super) blocked_until: Option<Timestamp>,
    /// The lane stalled often: one message at a time.
    careful: bool,
    pub(super) trial: Option<i64>,
    /// What was in hand alone when the last owner vanished.
    culprit: Option<i64>,
    /// Until then messages may be in hand that this session forgot.
    resting_until: Option<Timestamp>,
    /// Settled by callers' transactions that committed.
    settled_elsewhere: BTreeSet<i64>,
    /// Those of them that the cursor has yet to cover.
    pub(super) folding: BTreeSet<i64>,
    next_delivery: i64,
}

/// How far a span was read.
#[derive(Debug)]
struct Reading {
    block: Arc<Block>,
    /// What this tick sees was read before.
    since: Tick,
    /// Up to this id.
    to: i64,
    /// There is no more.
    complete: bool,
}

/// A message of the span.
#[derive(Debug)]
pub(crate) struct Entry {
    /// None once it is settled.
    pub(super) row: Option<Arc<LogRow>>,
    pub(super) state: State,
    /// In which part of the span it lies: what was added to the span comes after what was there.
    rank: u32,
    /// How often its lease ended.
    expiries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not delivered yet.
    Fresh,
    /// To be delivered again.
    Again,
    InHand {
        delivery: i64,
        until: Timestamp,
    },
    Settled,
}

/// What a lane hands out.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) row: Arc<LogRow>,
    pub(crate) delivery: i64,
    pub(crate) failures: u32,
    pub(crate) until: Timestamp,
}

/// Where a cursor comes to stand.
#[derive(Debug, PartialEq)]
pub(super) struct Position {
    pub(super) tick: i64,
    pub(super) through: i64,
    pub(super) last_id: i64,
    pub(super) ahead: IdSet,
}

impl LaneState {
    pub(crate) fn new(
        group: GroupIndex,
        cursor: Cursor,
        expires_at: Timestamp,
        max_stalls: u32,
    ) -> Self {
        let span = (cursor.through.number > cursor.tick.number)
            .then(|| Reading::promised(cursor.tick.clone(), cursor.through.clone()));
        Self {
            group,
            lane: cursor.lane,
            epoch: cursor.epoch,
            version: cursor.version,
            expires_at,
            suspect: false,
            astray: false,
            stored: (cursor.tick.number, cursor.through.number),
            tick: cursor.tick,
            last_id: span.as_ref().map_or(0, |_| cursor.last_id),
            ahead: cursor.ahead,
            rank: 0,
            is_full: false,
            rows: BTreeMap::new(),
            failures: cursor.failures,
            blocked_until: cursor.blocked_until,
            careful: cursor.stalls >= max_stalls,
            span,
            trial: cursor.trial,
            culprit: cursor.trial.filter(|_| cursor.stalls > max_stalls),
            resting_until: None,
            settled_elsewhere: BTreeSet::new(),
            folding: BTreeSet::new(),
            next_delivery: 0,
        }
    }

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

    /// A span that the cursor promised to finish and that is to be [opened](Self::open) first: its end.
    pub(crate) fn promised(&self) -> Option<&Tick> {
        let span = self.span.as_ref().filter(|span| span.is_promise())?;
        Some(&span.block.through)
    }

    /// Whether it is in no span, so that one may be opened.
    pub(crate) const fn is_between_spans(&self) -> bool {
        self.span.is_none()
    }

    /// Enters a span.
    pub(crate) fn open(&mut self, block: Arc<Block>) {
        self.span = Some(Reading {
            block,
            since: self.tick.clone(),
            to: self.last_id,
            complete: false,
        });
    }

    /// The tick from which on the span may be extended, so that what is in hand holds nothing up: all of it
    /// has been read and handed out.
    pub(crate) fn extensible_from(&self, now: Timestamp) -> Option<&Tick> {
        let span = self.span.as_ref().filter(|span| span.complete)?;
        let waits = self.careful || self.is_full || self.is_waiting(now) || self.has_due(now);
        (!waits && !self.rows.is_empty() && self.room() > 0).then_some(&span.block.through)
    }

    /// How many rows more it may know.
    pub(crate) fn room(&self) -> usize {
        MAX_KNOWN.saturating_sub(self.rows.len())
    }

    /// Lets the span end as it is.
    pub(crate) fn close_span(&mut self) {
        self.is_full = true;
    }

    /// The highest id of which the lane knows anything: that was read of the span, or that a former owner
    /// settled.
    pub(crate) fn highest(&self) -> i64 {
        let read = self.rows.last_key_value().map_or(0, |(id, _)| *id);
        let ahead = self
            .ahead
            .iter()
            .next_back()
            .map_or(0, |range| *range.end());
        read.max(ahead).max(self.last_id)
    }

    /// Adds what lies between the span's end and a later tick to the span. `page` has all of it up to the
    /// [highest](Self::highest) id, at least.
    ///
    /// A message may have a lower id than others that are settled already: then the cursor states these one
    /// by one instead.
    pub(crate) fn extend_span(&mut self, block: Arc<Block>, page: &Page) {
        let Some(span) = &mut self.span else {
            return;
        };
        let since = span.block.through.clone();
        let is_longer = block.from.number != since.number;
        self.rank += 1;
        *span = Reading {
            block,
            since: since.clone(),
            to: page.rows.last().map_or(0, |row| row.id),
            complete: page.complete,
        };
        for row in &page.rows {
            if is_longer && since.snapshot.sees(row.transaction) {
                continue;
            }
            if row.id <= self.last_id {
                self.ahead.insert_range(row.id..=self.last_id);
                self.last_id = row.id - 1;
            }
            self.ahead.remove(row.id);
            self.know(row);
        }
        self.compact();
    }

    /// Takes in a row that is not settled by the cursor.
    fn know(&mut self, row: &Arc<LogRow>) {
        let (rank, elsewhere) = (self.rank, self.settled_elsewhere.contains(&row.id));
        if elsewhere {
            self.folding.insert(row.id);
        }
        self.rows.entry(row.id).or_insert_with(|| Entry {
            row: (!elsewhere).then(|| row.clone()),
            state: if elsewhere {
                State::Settled
            } else {
                State::Fresh
            },
            rank,
            expiries: 0,
        });
    }

    /// The span and the id above which rows are to be read, when there are none left to hand out.
    pub(crate) fn wants_rows(&self) -> Option<(Arc<Block>, i64)> {
        let span = self
            .span
            .as_ref()
            .filter(|span| !span.complete && !span.is_promise())?;
        let has_fresh = self.rows.values().any(|entry| entry.state == State::Fresh);
        (!has_fresh && self.rows.len() < MAX_KNOWN).then(|| (span.block.clone(), span.to))
    }

    /// Takes in rows that were read.
    pub(crate) fn take(&mut self, page: &Page) {
        let Some(span) = &mut self.span else {
            return;
        };
        let before =
            (span.block.from.number != span.since.number).then(|| span.since.snapshot.clone());
        span.to = page.rows.last().map_or(span.to, |row| row.id);
        span.complete = page.complete;
        for row in &page.rows {
            let is_settled = row.id <= self.last_id || self.ahead.contains(row.id);
            let is_before = before
                .as_ref()
                .is_some_and(|seen| seen.sees(row.transaction));
            if !is_settled && !is_before {
                self.know(row);
            }
        }
        self.compact();
    }

    /// Leaves the span when all of it is settled.
    pub(crate) fn finish_span(&mut self) {
        if let Some(span) = &self.span
            && span.complete
            && self.rows.is_empty()
        {
            self.tick = span.block.through.clone();
            self.leave_span();
            self.careful = false;
        }
    }

    fn leave_span(&mut self) {
        self.span = None;
        self.rank = 0;
        self.is_full = false;
        self.last_id = 0;
        self.ahead = IdSet::new();
        self.rows.clear();
    }

    /// Moves `last_id` over what is settled without a gap. Rows that are not settled are none of `ahead`.
    pub(super) fn compact(&mut self) {
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

    /// Takes back what has been in hand for too long.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        for entry in self.rows.values_mut() {
            let now = if planted!(ExpiresEarly) {
                now + Duration::from_millis(1500)
            } else {
                now
            };
            if matches!(entry.state, State::InHand { until, .. } if until <= now) {
                entry.state = State::Again;
                entry.expiries += 1;
            }
        }
    }

    /// Messages whose leases ended `max_stalls` times, and one that was alone in hand when the last owner
    /// vanished.
    pub(crate) fn condemned(&self, max_stalls: u32) -> (Vec<i64>, Option<i64>) {
        let undelivered = self.rows.iter().filter(|(_, entry)| entry.is_due());
        let poison = undelivered
            .filter(|(_, entry)| entry.expiries >= max_stalls)
            .map(|(id, _)| *id);
        let is_here = |id: &i64| self.rows.get(id).is_some_and(|e| e.state == State::Fresh);
        (poison.collect(), self.culprit.filter(is_here))
    }

    /// The message that must be noted as the one in hand before it is delivered, in a lane that stalled
    /// often.
    pub(crate) fn trial_wanted(&self, now: Timestamp) -> Option<i64> {
        let next = self
            .next_due(now)
            .filter(|_| self.careful && self.in_hand() == 0)?;
        (self.trial != Some(next)).then_some(next)
    }

    fn in_hand(&self) -> usize {
        let held = |entry: &&Entry| matches!(entry.state, State::InHand { .. });
        self.rows.values().filter(held).count()
    }

    /// How many messages are in hand under a lease that has not ended.
    pub(crate) fn in_hand_at(&self, now: Timestamp) -> usize {
        let held =
            |entry: &&Entry| matches!(entry.state, State::InHand { until, .. } if until > now);
        self.rows.values().filter(held).count()
    }

    /// Whether a delivery is still in hand.
    pub(crate) fn is_current(&self, id: i64, number: i64) -> bool {
        matches!(self.rows.get(&id), Some(Entry { state: State::InHand { delivery, .. }, .. })
            if *delivery == number)
    }

    /// The unsettled messages of the same key that come before a message.
    pub(crate) fn earlier_of_key(&self, id: i64) -> Vec<i64> {
        let Some(entry) = self.rows.get(&id) else {
            return Vec::new();
        };
        let Some(key) = entry.key() else {
            return Vec::new();
        };
        let place = (entry.rank, id);
        let earlier = self
            .rows
            .iter()
            .filter(|(id, entry)| (entry.rank, **id) < place);
        let of_key = earlier.filter(|(_, entry)| entry.key() == Some(key));
        of_key.map(|(id, _)| *id).collect()
    }

    /// Moves the end of a delivery's lease; tells whether it is still in hand.
    pub(crate) fn extend(&mut self, id: i64, number: i64, end: Timestamp) -> bool {
        match self.rows.get_mut(&id).map(|entry| &mut entry.state) {
            Some(State::InHand { delivery, until }) if *delivery == number => {
                *until = end;
                true
            }
            _ => false,
        }
    }

    /// Whether it may be given to another member.
    pub(crate) fn is_free_to_go(&self) -> bool {
        self.in_hand() == 0 && self.resting_until.is_none()
    }

    fn is_waiting(&self, now: Timestamp) -> bool {
        self.suspect
            || self.blocked_until.is_some_and(|until| now < until)
            || self.resting_until.is_some_and(|until| now < until)
    }

    fn next_due(&self, now: Timestamp) -> Option<i64> {
        if self.is_waiting(now) {
            return None;
        }
        let due = self.rows.iter().filter(|(_, entry)| entry.is_due());
        due.map(|(id, entry)| (entry.rank, *id))
            .min()
            .map(|(_, id)| id)
    }

    /// The place of a message in the order of the lane.
    pub(super) fn place_of(&self, id: i64) -> (u32, i64) {
        (self.rows.get(&id).map_or(0, |entry| entry.rank), id)
    }

    /// What is to be delivered, in the order of the lane.
    fn due(&self, limit: usize) -> Vec<i64> {
        let due = self.rows.iter().filter(|(_, entry)| entry.is_due());
        if self.rank == 0 {
            return due.map(|(id, _)| *id).take(limit).collect();
        }
        let mut places: Vec<(u32, i64)> = due.map(|(id, entry)| (entry.rank, *id)).collect();
        places.sort_unstable();
        places.into_iter().map(|(_, id)| id).take(limit).collect()
    }

    /// Whether it has something to deliver without reading.
    pub(crate) fn has_due(&self, now: Timestamp) -> bool {
        self.next_due(now).is_some()
    }

    /// Hands out up to `limit` messages, lowest first.
    pub(crate) fn hand_out(
        &mut self,
        now: Timestamp,
        limit: usize,
        lease: Duration,
    ) -> Vec<Handed> {
        if self.is_waiting(now) {
            return Vec::new();
        }
        self.resting_until = None;
        let until = now + lease;
        let limit = match (self.careful, self.in_hand()) {
            (true, 0) => limit.min(usize::from(self.trial_wanted(now).is_none())),
            (true, _) => 0,
            (false, _) if self.position(&BTreeSet::new()).ahead.ranges() >= MAX_RANGES => 0,
            (false, _) => limit,
        };
        let mut handed = Vec::new();
        for id in self.due(limit) {
            let Some(entry) = self.rows.get_mut(&id) else {
                continue;
            };
            let Some(row) = entry.row.clone() else {
                continue;
            };
            self.next_delivery += 1;
            entry.state = State::InHand {
                delivery: self.next_delivery,
                until,
            };
            handed.push(Handed {
                row,
                delivery: self.next_delivery,
                failures: self.failures.get(&id).copied().unwrap_or(0),
                until,
            });
        }
        handed
    }

    /// Where the cursor stands when `settled` is settled too.
    pub(super) fn position(&self, settled: &BTreeSet<i64>) -> Position {
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
    pub(super) fn update(&self, settled: &BTreeSet<i64>) -> CursorUpdate {
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
            server: Timestamp::UNIX_EPOCH,
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
    pub(super) fn updated(&mut self, update: &CursorUpdate, moment: Timestamp) {
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

/// More rows than this are not read ahead of what is unsettled.
const MAX_KNOWN: usize = 20_000;

/// The beginning of a span that is only promised.
static NOWHERE: LazyLock<Tick> = LazyLock::new(|| Tick {
    number: i64::MAX,
    snapshot: Arc::new(Snapshot::nothing()),
});

impl Reading {
    /// A span that is known by its end alone.
    fn promised(since: Tick, through: Tick) -> Self {
        Self {
            block: Arc::new(Block::new(NOWHERE.clone(), through, false)),
            since,
            to: 0,
            complete: false,
        }
    }

    fn is_promise(&self) -> bool {
        self.block.from.number == NOWHERE.number
    }
}

impl Entry {
    const fn is_due(&self) -> bool {
        matches!(self.state, State::Fresh | State::Again)
    }

    fn key(&self) -> Option<&str> {
        self.row.as_ref().and_then(|row| row.key.as_deref())
    }

    pub(super) fn settle(&mut self) {
        self.state = State::Settled;
        self.row = None;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fanout_core::Headers;

    use super::*;

    const LANE: Lane = Lane(0);

    fn tick(number: i64, snapshot: &str) -> Tick {
        Tick {
            number,
            snapshot: Arc::new(snapshot.parse().expect("a snapshot")),
        }
    }

    fn page(rows: &[(i64, u64)]) -> Page {
        let row = |(id, transaction): &(i64, u64)| {
            Arc::new(LogRow {
                lane: LANE,
                id: *id,
                transaction: *transaction,
                created_at: Timestamp::UNIX_EPOCH,
                key: None,
                headers: Headers::default(),
                payload: Bytes::new(),
            })
        };
        Page {
            rows: rows.iter().map(row).collect(),
            complete: true,
        }
    }

    /// In the span between two ticks, of which a former owner settled 12 and 19 and not 5.
    fn taken_over() -> (LaneState, Tick) {
        let (from, through) = (tick(1, "10:10:"), tick(2, "20:20:"));
        let cursor = Cursor {
            lane: LANE,
            epoch: 1,
            version: 1,
            tick: from.clone(),
            through: through.clone(),
            last_id: 0,
            ahead: "{[12,20)}".parse().expect("a set"),
            failures: BTreeMap::new(),
            blocked_until: None,
            stalls: 0,
            trial: None,
        };
        let end = Timestamp::from_micros(100);
        let mut lane = LaneState::new(GroupIndex(0), cursor, end, 5);
        lane.open(Arc::new(Block::new(from, through.clone(), false)));
        lane.take(&page(&[(5, 11), (12, 12), (19, 13)]));
        (lane, through)
    }

    #[test]
    fn what_a_former_owner_settled_counts_as_known() {
        let (mut lane, _) = taken_over();
        assert_eq!(lane.highest(), 19, "a late message may lie below");
        let now = Timestamp::UNIX_EPOCH;
        let handed = lane.hand_out(now, 9, Duration::from_micros(1));
        assert_eq!(handed.iter().map(|h| h.row.id).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn an_extended_span_delivers_late_messages_among_settled_ones() {
        let (mut lane, through) = taken_over();
        let now = Timestamp::UNIX_EPOCH;
        lane.hand_out(now, 9, Duration::from_micros(1));
        assert_eq!(lane.extensible_from(now), Some(&through));
        let later = Arc::new(Block::new(through, tick(3, "30:30:"), false));
        lane.extend_span(later, &page(&[(3, 21), (15, 22), (25, 23)]));
        let position = lane.position(&BTreeSet::new());
        assert_eq!(
            (position.tick, position.through, position.last_id),
            (1, 3, 0)
        );
        assert_eq!(position.ahead.to_string(), "{[12,15),[16,20)}");
        let handed = lane.hand_out(now, 9, Duration::from_micros(1));
        assert_eq!(
            handed.iter().map(|h| h.row.id).collect::<Vec<_>>(),
            [3, 15, 25]
        );
        let all = BTreeSet::from([3, 5, 15, 25]);
        assert_eq!(lane.position(&all).tick, 3, "then the span is finished");
    }
}
