//! The spans that groups of this process share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

use super::block::Block;
use super::tick::Tick;

/// How the groups that are consumed through one engine handle share their reads of a topic's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanCacheStats {
    /// Messages that were read from the database.
    pub rows_read: u64,
    /// Statements that read them.
    pub reads: u64,
    /// Messages that were handed to groups out of the cache or right after they were read.
    pub rows_served: u64,
    /// Memory that the cached messages take, in bytes.
    pub bytes: u64,
}

/// The latest spans of a topic's log, bounded in bytes; the oldest go first.
#[derive(Debug)]
pub(crate) struct SpanCache {
    limit: usize,
    state: Mutex<State>,
    rows_read: AtomicU64,
    reads: AtomicU64,
    rows_served: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first.
    blocks: Vec<Arc<Block>>,
    /// What a block frees may be counted before what it took is.
    bytes: isize,
}

/// More spans than this are not kept, however small: a group that is this far behind reads larger ones.
const MAX_BLOCKS: usize = 256;

impl SpanCache {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            state: Mutex::default(),
            rows_read: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            rows_served: AtomicU64::new(0),
        }
    }

    /// A span for a cursor that stands at tick `at`: one that begins there or not far before, ends after,
    /// and not before tick `oldest`. The one that ends last.
    pub(crate) fn find(&self, at: &Tick, oldest: i64, untracked: bool) -> Option<Arc<Block>> {
        let state = self.state.lock();
        let blocks = state.blocks.iter().filter(|block| {
            block.untracked == untracked
                && block.from.number <= at.number
                && at.number < block.through.number
                && oldest <= block.through.number
                && is_worth_it(block, at)
        });
        blocks.max_by_key(|block| block.through.number).cloned()
    }

    /// The span between exactly these ticks, made if there is none.
    pub(crate) fn exactly(&self, from: &Tick, through: &Tick, untracked: bool) -> Arc<Block> {
        let mut state = self.state.lock();
        let found = state.blocks.iter().rev().find(|block| {
            block.untracked == untracked && block.from == *from && block.through == *through
        });
        if let Some(block) = found {
            return block.clone();
        }
        let block = Arc::new(Block::new(from.clone(), through.clone(), untracked));
        state.blocks.push(block.clone());
        if state.blocks.len() > MAX_BLOCKS {
            let oldest = state.blocks.remove(0);
            state.bytes -= signed(oldest.retire());
        }
        block
    }

    /// Notes a read of the database.
    pub(crate) fn read(&self, rows: usize) {
        self.reads.fetch_add(1, Relaxed);
        self.rows_read.fetch_add(rows as u64, Relaxed);
    }

    /// Notes rows that went to a group.
    pub(crate) fn served(&self, rows: usize) {
        self.rows_served.fetch_add(rows as u64, Relaxed);
    }

    /// Notes that blocks keep this much more, and makes room.
    pub(crate) fn grew(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes += signed(bytes);
        let limit = signed(self.limit);
        while state.bytes > limit && state.blocks.len() > 1 {
            let oldest = state.blocks.remove(0);
            state.bytes -= signed(oldest.retire());
        }
        while state.bytes > limit {
            match state.blocks.first().map(|block| block.shed()) {
                Some(freed) if freed > 0 => state.bytes -= signed(freed),
                _ => break,
            }
        }
    }

    /// Forgets everything: the connection's server is another, and its ticks may be too.
    pub(crate) fn clear(&self) {
        let mut state = self.state.lock();
        for block in std::mem::take(&mut state.blocks) {
            state.bytes -= signed(block.retire());
        }
    }

    pub(crate) fn stats(&self) -> SpanCacheStats {
        SpanCacheStats {
            rows_read: self.rows_read.load(Relaxed),
            reads: self.reads.load(Relaxed),
            rows_served: self.rows_served.load(Relaxed),
            bytes: u64::try_from(self.state.lock().bytes).unwrap_or(0),
        }
    }
}

/// Whether what a span has behind a tick is much, against what a cursor that stands there has read of it
/// already: a group that is far behind must not make the others read all that it has to. Measured in
/// transactions, which is what snapshots tell.
fn is_worth_it(block: &Block, at: &Tick) -> bool {
    const MOST_BEFORE: u64 = 4;
    let [from, at, through] = [&block.from, at, &block.through].map(|tick| tick.snapshot.xmax());
    let (before, behind) = (at.saturating_sub(from), through.saturating_sub(at));
    before <= behind.saturating_mul(MOST_BEFORE)
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

#[cfg(test)]
mod tests {
    use fanout_core::Snapshot;

    use super::*;

    fn tick(number: i64, xmax: u64) -> Tick {
        let snapshot: Snapshot = format!("{xmax}:{xmax}:").parse().expect("a snapshot");
        Tick {
            number,
            snapshot: Arc::new(snapshot),
        }
    }

    #[test]
    fn a_span_is_shared_by_those_who_need_most_of_it() {
        let cache = SpanCache::new(1);
        let long = cache.exactly(&tick(1, 100), &tick(9, 1000), false);
        let find = |number, xmax| cache.find(&tick(number, xmax), 0, false);
        for (number, xmax) in [(1, 100), (2, 200), (5, 600)] {
            let found = find(number, xmax).expect("it has what is needed");
            assert!(Arc::ptr_eq(&found, &long));
        }
        assert!(find(8, 990).is_none(), "nearly all of it is read already");
        assert!(find(9, 1000).is_none(), "all of it is");
    }
}
