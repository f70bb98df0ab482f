//! How the suite gets engines.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use fanout_core::{ManualClock, Transactional};

/// Makes the engines that cases run on.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// The engine.
    type Backend: Transactional;

    /// An engine without any topic, which no other case uses.
    ///
    /// It must let 20 transactions be open at a time; a call that finds no room beyond them may
    /// wait.
    async fn subject(&self) -> Subject<Self::Backend>;

    /// Closes the engine, in the way that its users have.
    async fn close(&self, backend: &Self::Backend);
}

/// An engine, and what a case needs around it.
pub struct Subject<B> {
    /// The engine.
    pub backend: Arc<B>,
    /// The clock that the engine takes all time from.
    pub clock: Arc<ManualClock>,
    /// What must live as long as the engine, such as its database. Dropped after it.
    pub guard: Box<dyn Any + Send + Sync>,
}

impl<B: Transactional> Subject<B> {
    /// An engine that needs nothing around it.
    pub fn new(backend: B, clock: Arc<ManualClock>) -> Self {
        Self {
            backend: Arc::new(backend),
            clock,
            guard: Box::new(()),
        }
    }

    /// Keeps `guard` for as long as the engine is used.
    #[must_use]
    pub fn guarded_by(mut self, guard: impl Any + Send + Sync) -> Self {
        self.guard = Box::new(guard);
        self
    }
}

impl<B: fmt::Debug> fmt::Debug for Subject<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("backend", &self.backend)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
