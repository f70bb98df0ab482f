//! Reading a lane's spans.

use std::sync::Arc;

use fanout_core::{IdSet, Timestamp};

use super::LaneState;
use super::entry::{Entry, State};
use super::reading::Reading;
use crate::cursor::block::{Block, Page};
use crate::cursor::log_row::LogRow;
use crate::cursor::tick::Tick;

/// More rows than this are not read ahead of what is unsettled.
const MAX_KNOWN: usize = 20_000;

impl LaneState {
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

    pub(super) fn leave_span(&mut self) {
        self.span = None;
        self.rank = 0;
        self.is_full = false;
        self.last_id = 0;
        self.ahead = IdSet::new();
        self.rows.clear();
    }
}
