//! Every promised behaviour.

use std::sync::Arc;

use async_trait::async_trait;
use fanout_conformance::{Harness, Subject};
use fanout_core::ManualClock;
use fanout_memory::MemoryBackend;

struct Memory;

#[async_trait]
impl Harness for Memory {
    type Backend = MemoryBackend;

    async fn subject(&self) -> Subject<MemoryBackend> {
        let clock = Arc::new(ManualClock::default());
        let backend = MemoryBackend::builder().clock(clock.clone()).build();
        Subject::new(backend, clock)
    }

    async fn close(&self, backend: &MemoryBackend) {
        backend.close();
    }
}

fanout_conformance::suite!(Memory);
