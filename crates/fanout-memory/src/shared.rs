//! What all handles, members and transactions of one engine share.

use std::sync::Arc;

use fanout_core::{Clock, Result, Timestamp};
use parking_lot::Mutex;

use crate::refusal::Refusal;
use crate::state::State;

#[derive(Debug)]
pub(crate) struct Shared {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, state: State) -> Arc<Self> {
        Arc::new(Self {
            clock,
            state: Mutex::new(state),
        })
    }

    /// One step of the engine: nothing else happens meanwhile, and it all happens at one time.
    pub(crate) fn step<T>(
        &self,
        step: impl FnOnce(&mut State, Timestamp) -> Result<T, Refusal>,
    ) -> Result<T> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Refusal::Closed.into());
        }
        // Read under the lock, so that times go with the order of the steps.
        let now = self.clock.now();
        Ok(step(&mut state, now)?)
    }

    /// A step that is taken even when the engine is closed.
    pub(crate) fn always<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        step(&mut self.state.lock())
    }
}
