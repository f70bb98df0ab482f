//! What one run does.

use fanout_core::CompletionMode;
use serde::Serialize;

use crate::args::Load;
use crate::hold::Hold;
use crate::rate::Rate;

/// More connections than this only wait for each other, on few cores.
const MOST_CONNECTIONS: u32 = 32;

/// The load of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Settings {
    pub(crate) mode: CompletionMode,
    pub(crate) rate: Rate,
    pub(crate) batch: u32,
    pub(crate) payload: u32,
    pub(crate) groups: u32,
    pub(crate) publishers: u32,
    pub(crate) workers: u32,
    pub(crate) processes: u32,
    /// Of each process.
    pub(crate) connections: u32,
    pub(crate) lanes: u16,
    pub(crate) fetch: u32,
    /// Only without a schedule.
    pub(crate) backlog: Option<u32>,
    pub(crate) pause_ms: u32,
    /// 0 for no maintenance.
    pub(crate) maintenance_seconds: u32,
    pub(crate) hold: Option<Hold>,
    pub(crate) warmup_seconds: u32,
    pub(crate) seconds: u32,
}

/// What differs between the runs of one invocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) mode: CompletionMode,
    pub(crate) rate: Rate,
    pub(crate) batch: u32,
    pub(crate) payload: u32,
    pub(crate) groups: u32,
}

impl Settings {
    /// The run that the command line describes for one cell.
    pub(crate) fn new(load: &Load, cell: Cell) -> Self {
        let together = cell.batch.saturating_mul(load.publishers);
        let fetch = load.fetch.unwrap_or(together);
        let backlog = load
            .backlog
            .unwrap_or_else(|| fetch.max(together).saturating_mul(4));
        let connections = load.connections.unwrap_or_else(|| {
            let members = cell.groups.saturating_mul(load.workers);
            let publishers = load.publishers.div_ceil(load.processes);
            members.saturating_add(publishers + 1).min(MOST_CONNECTIONS)
        });
        Self {
            mode: cell.mode,
            rate: cell.rate,
            batch: cell.batch,
            payload: cell.payload,
            groups: cell.groups,
            publishers: load.publishers,
            workers: load.workers,
            processes: load.processes,
            connections,
            lanes: load.lanes,
            fetch,
            backlog: (cell.rate == Rate::Max).then_some(backlog),
            pause_ms: load.pause,
            maintenance_seconds: load.maintenance,
            hold: load.hold,
            warmup_seconds: load.warmup,
            seconds: load.seconds,
        }
    }
}
