//! Maintenance beside the load, as services run it.

use std::sync::Arc;
use std::time::Duration;

use fanout::{MaintenanceCounters, MaintenanceHandle, MaintenanceRunner};
use fanout_core::Backend;
use tokio::task::JoinHandle;

use crate::failure::Result;

/// A maintenance runner that is under way.
#[derive(Debug)]
pub(crate) struct Upkeep {
    handle: MaintenanceHandle,
    task: JoinHandle<fanout_core::Result<()>>,
}

impl Upkeep {
    /// Starts rounds every so many seconds; none for 0.
    pub(crate) fn start(engine: Arc<dyn Backend>, seconds: u32) -> Option<Self> {
        if seconds == 0 {
            return None;
        }
        let runner = MaintenanceRunner::new(engine).interval(Duration::from_secs(seconds.into()));
        Some(Self {
            handle: runner.handle(),
            task: tokio::spawn(runner.run()),
        })
    }

    pub(crate) async fn stop(self) -> Result<MaintenanceCounters> {
        self.handle.stop();
        match self.task.await {
            Ok(ended) => ended?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
        Ok(self.handle.counters())
    }
}
