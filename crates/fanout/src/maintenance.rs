//! The maintenance runner.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Backend, Error, ErrorKind, MaintenanceReport, Result};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::pace::Pace;
use crate::stop::Stop;

/// Longest wait after rounds that failed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Calls [`Backend::maintain`] again and again. One per process that consumes or publishes is fine:
/// any number may run side by side.
///
/// ```
/// # use std::sync::Arc;
/// # use fanout::{Backend, MaintenanceRunner};
/// # async fn start(backend: Arc<dyn Backend>) {
/// let runner = MaintenanceRunner::new(backend);
/// let handle = runner.handle();
/// let running = tokio::spawn(runner.run());
/// // … until the service ends:
/// handle.stop();
/// # let _ = running.await;
/// # }
/// ```
pub struct MaintenanceRunner<B: ?Sized> {
    backend: Arc<B>,
    interval: Duration,
    on_error: OnError,
    handle: MaintenanceHandle,
}

type OnError = Box<dyn Fn(&Error) + Send + Sync>;

/// Stops a maintenance runner, and reads its counters, from anywhere.
#[derive(Clone, Debug)]
pub struct MaintenanceHandle {
    stop: Stop,
    counters: watch::Sender<MaintenanceCounters>,
}

/// What a maintenance runner has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MaintenanceCounters {
    /// Rounds that succeeded.
    pub rounds: u64,
    /// Rounds that failed.
    pub failures: u64,
    /// What all rounds together did.
    pub total: MaintenanceReport,
}

impl MaintenanceHandle {
    /// Asks the runner to stop; a round that is under way is ended first.
    pub fn stop(&self) {
        self.stop.request();
    }

    /// What it has counted so far.
    #[must_use]
    pub fn counters(&self) -> MaintenanceCounters {
        *self.counters.borrow()
    }
}

impl<B: Backend + ?Sized> MaintenanceRunner<B> {
    /// A runner with an interval of 1 s.
    #[must_use]
    pub fn new(backend: Arc<B>) -> Self {
        Self {
            backend,
            interval: Duration::from_secs(1),
            on_error: Box::new(|error| tracing::warn!(%error, "maintenance failed")),
            handle: MaintenanceHandle {
                stop: Stop::new(),
                counters: watch::Sender::default(),
            },
        }
    }

    /// How long to wait between rounds. Default: 1 s.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// What to do with the error of a round that is tried again, besides counting it. Default: to
    /// log it.
    #[must_use]
    pub fn on_error(mut self, on_error: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_error = Box::new(on_error);
        self
    }

    /// To stop it and to read its counters.
    #[must_use]
    pub fn handle(&self) -> MaintenanceHandle {
        self.handle.clone()
    }

    /// Runs until it is stopped through its [handle](Self::handle). Rounds that fail are
    /// tried again, at growing intervals of up to a minute.
    ///
    /// # Errors
    /// Those that waiting does not mend: [`Closed`](ErrorKind::Closed),
    /// [`SchemaMismatch`](ErrorKind::SchemaMismatch).
    pub async fn run(self) -> Result<()> {
        let mut pace = Pace::new(self.interval, LONGEST_WAIT);
        let stopped = self.handle.stop.requested();
        let mut stopped = std::pin::pin!(stopped);
        loop {
            let wait = match self.backend.maintain().await {
                Ok(report) => {
                    self.handle.counters.send_modify(|counters| {
                        counters.rounds += 1;
                        counters.total += report;
                    });
                    pace.hit()
                }
                Err(error) => {
                    self.handle
                        .counters
                        .send_modify(|counters| counters.failures += 1);
                    if matches!(error.kind(), ErrorKind::Closed | ErrorKind::SchemaMismatch) {
                        return Err(error);
                    }
                    (self.on_error)(&error);
                    pace.miss()
                }
            };
            tokio::select! {
                biased;
                () = &mut stopped => return Ok(()),
                () = sleep(wait) => {}
            }
        }
    }

    /// Runs until `shutdown` completes, or as [`run`](Self::run).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let handle = self.handle();
        let mut running = std::pin::pin!(self.run());
        tokio::select! {
            result = &mut running => result,
            () = shutdown => {
                handle.stop();
                running.await
            }
        }
    }
}

impl<B: ?Sized> fmt::Debug for MaintenanceRunner<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaintenanceRunner")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
