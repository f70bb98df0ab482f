//! Postgres in several modes at a time, against the memory engine.

use std::collections::HashMap;
use std::fmt::Display;
use std::thread;

use tokio::runtime::{Builder, Runtime};

use fanout_tests::acceptor::{Checked, Ending};
use fanout_tests::coverage::Seen;
use fanout_tests::history::History;
use fanout_tests::modes::Modes;
use fanout_tests::subject::{alike, on_memory_in_all_modes};

use crate::postgres::Postgres;

/// A database for each way of choosing modes: maintenance goes over all topics of a database, and time
/// is that of the history.
#[derive(Debug)]
pub(crate) struct InModes {
    runtime: Runtime,
    databases: HashMap<Modes, Postgres>,
}

impl InModes {
    pub(crate) fn start(modes: &[Modes]) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let start = |modes: &Modes| (*modes, runtime.block_on(Postgres::start()));
        let databases = modes.iter().map(start).collect();
        Self { runtime, databases }
    }

    /// Runs a history in these modes, and on the memory engine: it must end the same in each.
    pub(crate) fn run(&self, history: &History, in_modes: &[Modes]) -> Checked<(Ending, Seen)> {
        let (expected, _) = self.runtime.block_on(on_memory_in_all_modes(history))?;
        let mut endings: Vec<(Box<dyn Display>, Ending)> = vec![(Box::new("memory"), expected)];
        let mut seen = Seen::new();
        for (modes, ran) in in_modes.iter().zip(self.run_on_postgres(history, in_modes)) {
            let (ending, more) =
                ran.map_err(|violation| violation.during(format_args!("postgres, {modes}")))?;
            endings.push((Box::new(modes), ending));
            seen.extend(more);
        }
        Ok((alike(endings)?, seen))
    }

    fn run_on_postgres(
        &self,
        history: &History,
        in_modes: &[Modes],
    ) -> Vec<Checked<(Ending, Seen)>> {
        thread::scope(|scope| {
            let start = |modes: &Modes| {
                let (modes, postgres) = (*modes, &self.databases[modes]);
                scope.spawn(move || self.runtime.block_on(postgres.run(history, modes)))
            };
            let running: Vec<_> = in_modes.iter().map(start).collect();
            let ended = running.into_iter().map(|run| run.join());
            ended.map(|run| run.expect("it ends")).collect()
        })
    }
}

impl Drop for InModes {
    /// The databases go with it, which takes a runtime.
    fn drop(&mut self) {
        let _entered = self.runtime.enter();
        self.databases.clear();
    }
}
