//! What one run does.

use fanout_core::CompletionMode;
use serde::Serialize;

use crate::args::P1;
use crate::rate::Rate;

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
    pub(crate) fetch: u32,
    /// Only without a schedule.
    pub(crate) backlog: Option<u32>,
    pub(crate) warmup_seconds: u32,
    pub(crate) seconds: u32,
}

impl Settings {
    /// The run that the command line describes, for one cell of the matrix.
    pub(crate) fn new(args: &P1, batch: u32, payload: u32, groups: u32) -> Self {
        let together = batch.saturating_mul(args.publishers);
        let fetch = args.fetch.unwrap_or(together);
        let backlog = args
            .backlog
            .unwrap_or_else(|| fetch.max(together).saturating_mul(4));
        Self {
            mode: args.mode,
            rate: args.rate,
            batch,
            payload,
            groups,
            publishers: args.publishers,
            workers: args.workers,
            fetch,
            backlog: (args.rate == Rate::Max).then_some(backlog),
            warmup_seconds: args.warmup,
            seconds: args.seconds,
        }
    }
}
