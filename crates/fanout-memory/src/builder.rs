//! How an engine is made.

use std::sync::Arc;

use fanout_core::{Clock, SystemClock};

use crate::MemoryBackend;
use crate::shared::Shared;
use crate::state::State;

/// Most bytes that an engine keeps unless told otherwise: 256 MiB.
pub const DEFAULT_MAX_BYTES: usize = 256 << 20;
/// The seed of the jitter unless told otherwise: the same in every process, so that a run can be
/// repeated.
pub const DEFAULT_SEED: u64 = 0x6661_6e6f_7574;

/// Builds a [`MemoryBackend`].
#[derive(Clone, Debug)]
#[must_use]
pub struct MemoryBuilder {
    clock: Arc<dyn Clock>,
    max_bytes: usize,
    seed: u64,
}

impl Default for MemoryBuilder {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            max_bytes: DEFAULT_MAX_BYTES,
            seed: DEFAULT_SEED,
        }
    }
}

impl MemoryBuilder {
    /// Where all time comes from. Default: [`SystemClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Most bytes of messages and dead letters that are kept, those of open transactions included.
    /// Default: [`DEFAULT_MAX_BYTES`].
    ///
    /// A message counts with its payload, its key, about the size of its headers as JSON, and 256
    /// bytes for the accounting; a dead letter is a copy and counts again. It is an estimate, and a
    /// payload that is a slice of a larger buffer keeps that buffer.
    pub fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Seeds the jitter of backoff. Two engines with one seed that see the same calls give the same
    /// due times. Default: [`DEFAULT_SEED`].
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Makes the engine.
    #[must_use]
    pub fn build(self) -> MemoryBackend {
        MemoryBackend::from_shared(Shared::new(
            self.clock,
            State::new(self.max_bytes, self.seed),
        ))
    }
}
