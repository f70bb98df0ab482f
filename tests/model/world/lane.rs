use super::{Cursor, Ids, MESSAGES, Update};

/// The lane as its owner remembers it: the engine's `LaneState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub(crate) epoch: u8,
    pub(crate) reign: u8,
    pub(crate) version: u8,
    pub(crate) tick: Place,
    pub(crate) span: Option<Span>,
    pub(crate) last_id: u8,
    pub(crate) ahead: Ids,
    /// How often the span was extended.
    rank: u8,
    rows: [Option<Row>; MESSAGES],
    pub(crate) failures: Ids,
    pub(crate) blocked: bool,
    /// It is not known whether a commit moved the cursor.
    pub(crate) suspect: bool,
    /// A commit was refused: what callers' transactions settled must be read first.
    pub(crate) uninformed: bool,
    pub(crate) settled_elsewhere: Ids,
    /// Those of them that the cursor has yet to cover.
    pub(crate) folding: Ids,
    /// The ticks of the cursor, as far as is known.
    stored: (u8, u8),
}

/// A tick, with its snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) number: u8,
    pub(crate) seen: Ids,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(crate) through: Place,
    /// Its messages are known; otherwise the cursor promised to finish it.
    pub(crate) read: bool,
}

/// A message of the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) state: State,
    rank: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Fresh,
    Again,
    /// With the number of the delivery.
    InHand(u8),
    Settled,
}

impl Lane {
    pub(crate) fn new(cursor: &Cursor, tick: Place, through: Place) -> Self {
        let in_span = cursor.through > cursor.tick;
        Self {
            epoch: cursor.epoch,
            reign: cursor.reign,
            version: cursor.version,
            tick,
            span: in_span.then_some(Span {
                through,
                read: false,
            }),
            last_id: if in_span { cursor.last_id } else { 0 },
            ahead: cursor.ahead,
            rank: 0,
            rows: [None; MESSAGES],
            failures: cursor.failures,
            blocked: cursor.blocked,
            suspect: false,
            uninformed: false,
            settled_elsewhere: Ids::NONE,
            folding: Ids::NONE,
            stored: (cursor.tick, cursor.through),
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (u8, Row)> {
        let rows = (0..).zip(self.rows);
        rows.filter_map(|(id, row)| row.map(|row| (id, row)))
    }

    pub(crate) fn state(&self, id: u8) -> Option<State> {
        self.rows[usize::from(id)].map(|row| row.state)
    }

    pub(crate) fn set(&mut self, id: u8, state: State) {
        if let Some(row) = &mut self.rows[usize::from(id)] {
            row.state = state;
        }
    }

    /// The place in the order of the lane.
    pub(crate) fn place(&self, id: u8) -> (u8, u8) {
        (self.rows[usize::from(id)].map_or(0, |row| row.rank), id)
    }

    /// Messages that are not settled and come before this one.
    pub(crate) fn unsettled_before(&self, id: u8) -> Ids {
        let place = self.place(id);
        let rows = self.rows().filter(|(_, row)| row.state != State::Settled);
        rows.map(|(id, _)| id)
            .filter(|id| self.place(*id) < place)
            .collect()
    }

    /// What may be handed out, by id.
    pub(crate) fn due(&self) -> impl Iterator<Item = u8> {
        let is_due = |row: Row| matches!(row.state, State::Fresh | State::Again);
        let waits = self.suspect || self.blocked;
        let due = self.rows().filter(move |(_, row)| !waits && is_due(*row));
        due.map(|(id, _)| id)
    }

    /// What is handed out next.
    pub(crate) fn next_due(&self) -> Option<u8> {
        self.due().min_by_key(|id| self.place(*id))
    }

    pub(crate) fn has_in_hand(&self) -> bool {
        self.rows()
            .any(|(_, row)| matches!(row.state, State::InHand(_)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows().next().is_none()
    }

    /// `(tick, through)`.
    pub(crate) fn ticks(&self) -> (u8, u8) {
        let through = self.span.map_or(self.tick.number, |s| s.through.number);
        (self.tick.number, through)
    }

    pub(crate) fn unstored_ticks(&self) -> impl Iterator<Item = u8> {
        let ((tick, through), stored) = (self.ticks(), self.stored);
        [tick, through]
            .into_iter()
            .filter(move |tick| *tick != stored.0 && *tick != stored.1)
    }

    pub(crate) fn is_ahead_of_the_database(&self) -> bool {
        self.ticks() != self.stored
    }

    /// Takes in what was read of a span that is entered.
    pub(crate) fn enter(&mut self, through: Place, read: Ids) {
        self.span = Some(Span {
            through,
            read: true,
        });
        let settled = Ids::up_to(self.last_id).or(self.ahead);
        for id in read.less(settled).iter() {
            self.know(id);
        }
        self.compact();
        self.finish_span();
    }

    /// Adds what lies behind the span to it, and says anew what is settled.
    pub(crate) fn extend(&mut self, through: Place, read: Ids, restates: bool) {
        self.rank += 1;
        self.span = Some(Span {
            through,
            read: true,
        });
        for id in read.iter() {
            if !restates && id <= self.last_id {
                continue;
            }
            if id <= self.last_id {
                self.ahead = self.ahead.or(Ids::range(id, self.last_id));
                self.last_id = id - 1;
            }
            self.ahead.remove(id);
            self.know(id);
        }
        self.compact();
        self.finish_span();
    }

    pub(crate) fn forget_stored(&mut self) {
        self.stored = (0, 0);
    }

    fn know(&mut self, id: u8) {
        let elsewhere = self.settled_elsewhere.has(id);
        if elsewhere {
            self.folding.insert(id);
        }
        let state = if elsewhere {
            State::Settled
        } else {
            State::Fresh
        };
        let rank = self.rank;
        self.rows[usize::from(id)].get_or_insert(Row { state, rank });
    }

    pub(crate) fn compact(&mut self) {
        let first_unsettled = self
            .rows()
            .find(|(_, row)| row.state != State::Settled)
            .map_or(u8::MAX, |(id, _)| id);
        for id in 0..8 {
            if id < first_unsettled && self.rows[usize::from(id)].take().is_some() {
                self.last_id = id;
            }
        }
        (self.last_id, self.ahead) = contiguous(self.last_id, self.ahead);
    }

    /// Leaves the span when all of it is settled.
    pub(crate) fn finish_span(&mut self) {
        if let Some(span) = self.span
            && span.read
            && self.is_empty()
        {
            self.tick = span.through;
            self.leave_span();
        }
    }

    fn leave_span(&mut self) {
        self.span = None;
        self.rank = 0;
        self.last_id = 0;
        self.ahead = Ids::NONE;
        self.rows = [None; MESSAGES];
    }

    pub(crate) fn note_settled_elsewhere(&mut self, ids: Ids) {
        for id in ids.iter() {
            if !matches!(self.state(id), None | Some(State::Settled)) {
                self.set(id, State::Settled);
                self.folding.insert(id);
            }
        }
        self.settled_elsewhere = ids;
        self.uninformed = false;
        self.compact();
        self.finish_span();
    }

    /// Takes over what the database holds, after a commit whose end is not known.
    pub(crate) fn adopt(&mut self, cursor: &Cursor, tick: Place, through: Place) {
        self.version = cursor.version;
        self.stored = (cursor.tick, cursor.through);
        self.failures = cursor.failures;
        self.blocked = cursor.blocked;
        self.suspect = false;
        if cursor.tick > self.tick.number {
            // The span is finished; all of its rows are settled.
            self.tick = tick;
            self.leave_span();
            return;
        }
        let covered = Ids::up_to(cursor.last_id)
            .or(cursor.ahead)
            .and(through.seen);
        if cursor.through > cursor.tick {
            for id in covered.iter() {
                self.set(id, State::Settled);
            }
        }
        self.compact();
        self.finish_span();
    }

    /// The change of the cursor to where it stands when this message is settled too.
    pub(crate) fn update(&self, settles: Option<u8>) -> Update {
        let (tick, through) = self.ticks();
        let mut update = Update {
            epoch: self.epoch,
            reign: self.reign,
            version: self.version,
            tick,
            through,
            failures: self.failures,
            folds: self.folding,
            settles,
            ..Update::default()
        };
        let Some(span) = self.span else {
            return update;
        };
        let is_settled = |id: u8, row: Row| row.state == State::Settled || settles == Some(id);
        if span.read && self.rows().all(|(id, row)| is_settled(id, row)) {
            update.tick = through;
            return update;
        }
        // Neighbours in the lane make one range, whatever other ids lie between them.
        let (mut last_id, mut ahead) = (self.last_id, self.ahead);
        let (mut is_prefix, mut run) = (true, None);
        for (id, row) in self.rows() {
            if !is_settled(id, row) {
                (is_prefix, run) = (false, None);
            } else if is_prefix {
                last_id = id;
            } else {
                let first = *run.get_or_insert(id);
                ahead = ahead.or(Ids::range(first, id));
            }
        }
        (update.last_id, update.ahead) = contiguous(last_id, ahead);
        update
    }

    /// The database has made a change.
    pub(crate) fn updated(&mut self, update: &Update) {
        self.version += 1;
        self.suspect = false;
        self.stored = (update.tick, update.through);
        self.failures = update.failures;
        self.blocked = update.blocks.is_some();
        self.folding = self.folding.less(update.folds);
        self.settled_elsewhere = self.settled_elsewhere.less(update.folds);
    }
}

/// Moves the last id over what lies ahead of it without a gap.
fn contiguous(mut last_id: u8, mut ahead: Ids) -> (u8, Ids) {
    while ahead.has(last_id + 1) {
        last_id += 1;
    }
    ahead = ahead.less(Ids::up_to(last_id));
    (last_id, ahead)
}
