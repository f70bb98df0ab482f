//! One span of the log, read once for all groups of the process.

use std::collections::HashMap;
use std::sync::Arc;

use fanout_core::Lane;
use parking_lot::Mutex;

use super::log_row::LogRow;
use super::tick::Tick;

/// Rows of one lane of a span, ascending, and whether the span has more behind them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Arc<LogRow>>,
    pub(crate) complete: bool,
}

/// The messages between two ticks, as far as they have been read. What was read never changes.
#[derive(Debug)]
pub(crate) struct Block {
    /// The tick that it begins after.
    pub(crate) from: Tick,
    /// The tick that it ends with.
    pub(crate) through: Tick,
    /// Whether it has the untracked messages alone.
    pub(crate) untracked: bool,
    lanes: Mutex<Lanes>,
    /// One reader at a time, so that others find what it read.
    pub(crate) reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Lanes {
    /// Dropped from the cache: it keeps nothing any more.
    retired: bool,
    bytes: usize,
    of: HashMap<Lane, Kept>,
}

/// The rows of a lane with ids above `after`, as far as they were read.
#[derive(Debug)]
struct Kept {
    after: i64,
    page: Page,
}

impl Block {
    pub(crate) fn new(from: Tick, through: Tick, untracked: bool) -> Self {
        Self {
            from,
            through,
            untracked,
            lanes: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Up to `limit` rows of a lane above an id; none when they must be read first.
    pub(crate) fn rows(&self, lane: Lane, after: i64, limit: usize) -> Option<Page> {
        let lanes = self.lanes.lock();
        let kept = lanes.of.get(&lane).filter(|kept| kept.after <= after)?;
        let rows = &kept.page.rows;
        let begin = rows.partition_point(|row| row.id <= after);
        let end = rows.len().min(begin + limit);
        let complete = kept.page.complete && end == rows.len();
        (begin < end || complete).then(|| Page {
            rows: rows[begin..end].to_vec(),
            complete,
        })
    }

    /// From which id on a lane is to be read for somebody who needs what lies above `after`.
    pub(crate) fn read_after(&self, lane: Lane, after: i64) -> i64 {
        let lanes = self.lanes.lock();
        match lanes.of.get(&lane) {
            Some(kept) if kept.after <= after => {
                kept.page.rows.last().map_or(after, |row| row.id.max(after))
            }
            _ => after,
        }
    }

    /// Keeps what was read of a lane above `after`; returns how many bytes more it takes now.
    pub(crate) fn keep(&self, lane: Lane, after: i64, page: &Page) -> usize {
        let mut lanes = self.lanes.lock();
        if lanes.retired {
            return 0;
        }
        let kept = lanes.of.entry(lane).or_insert_with(|| Kept {
            after,
            page: Page::default(),
        });
        let end = kept.page.rows.last().map_or(kept.after, |row| row.id);
        if after < kept.after || after > end {
            // A reader behind what was kept, or beyond it: the rows do not join.
            return 0;
        }
        let new: Vec<_> = page
            .rows
            .iter()
            .filter(|row| row.id > end)
            .cloned()
            .collect();
        let bytes = new.iter().map(|row| row.bytes()).sum();
        kept.page.rows.extend(new);
        kept.page.complete |= page.complete;
        lanes.bytes += bytes;
        bytes
    }

    /// Drops all rows and keeps no more of them; returns how many bytes that sets free.
    pub(crate) fn retire(&self) -> usize {
        let mut lanes = self.lanes.lock();
        lanes.retired = true;
        lanes.of.clear();
        std::mem::take(&mut lanes.bytes)
    }

    /// Drops the first half of every lane's rows, which most readers have behind them; returns how many
    /// bytes that sets free.
    pub(crate) fn shed(&self) -> usize {
        let mut lanes = self.lanes.lock();
        let mut freed = 0;
        for kept in lanes.of.values_mut() {
            let gone = kept.page.rows.len().div_ceil(2);
            for row in kept.page.rows.drain(..gone) {
                kept.after = row.id;
                freed += row.bytes();
            }
        }
        lanes.bytes -= freed;
        freed
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use fanout_core::{Headers, Snapshot, Timestamp};

    use super::*;

    const LANE: Lane = Lane(3);

    fn block() -> Block {
        let tick = |number| Tick {
            number,
            snapshot: Arc::new(Snapshot::nothing()),
        };
        Block::new(tick(1), tick(2), false)
    }

    fn page(ids: &[i64], complete: bool) -> Page {
        let row = |id: &i64| {
            Arc::new(LogRow {
                lane: LANE,
                id: *id,
                transaction: 1,
                created_at: Timestamp::UNIX_EPOCH,
                key: None,
                headers: Headers::default(),
                payload: Bytes::new(),
            })
        };
        let rows = ids.iter().map(row).collect();
        Page { rows, complete }
    }

    fn ids(page: Option<Page>) -> Option<(Vec<i64>, bool)> {
        page.map(|page| (page.rows.iter().map(|row| row.id).collect(), page.complete))
    }

    #[test]
    fn serves_what_was_read_and_no_more() {
        let block = block();
        assert_eq!(ids(block.rows(LANE, 0, 9)), None);
        assert!(block.keep(LANE, 0, &page(&[2, 5, 7], false)) > 0);
        assert_eq!(ids(block.rows(LANE, 0, 2)), Some((vec![2, 5], false)));
        assert_eq!(ids(block.rows(LANE, 2, 9)), Some((vec![5, 7], false)));
        assert_eq!(ids(block.rows(LANE, 7, 9)), None, "there may be more");
        assert_eq!(block.read_after(LANE, 0), 7);
        block.keep(LANE, 7, &page(&[9], true));
        assert_eq!(ids(block.rows(LANE, 5, 1)), Some((vec![7], false)));
        assert_eq!(ids(block.rows(LANE, 5, 9)), Some((vec![7, 9], true)));
        assert_eq!(ids(block.rows(LANE, 9, 9)), Some((vec![], true)));
        assert_eq!(ids(block.rows(Lane(4), 0, 9)), None);
    }

    #[test]
    fn rows_that_do_not_join_are_not_kept() {
        let block = block();
        block.keep(LANE, 5, &page(&[7], false));
        assert_eq!(block.keep(LANE, 0, &page(&[2], false)), 0, "behind");
        assert_eq!(block.keep(LANE, 9, &page(&[11], true)), 0, "beyond");
        assert_eq!(ids(block.rows(LANE, 5, 9)), Some((vec![7], false)));
        assert_eq!(ids(block.rows(LANE, 0, 9)), None);
    }

    #[test]
    fn sheds_from_the_front_and_retires_whole() {
        let block = block();
        let bytes = block.keep(LANE, 0, &page(&[1, 2, 3], true));
        let freed = block.shed();
        assert_eq!(ids(block.rows(LANE, 0, 9)), None, "must be read again");
        assert_eq!(ids(block.rows(LANE, 2, 9)), Some((vec![3], true)));
        assert_eq!(freed + block.retire(), bytes);
        assert_eq!(ids(block.rows(LANE, 2, 9)), None);
        assert_eq!(block.keep(LANE, 2, &page(&[3], true)), 0);
    }
}
