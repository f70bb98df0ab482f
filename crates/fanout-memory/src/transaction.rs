//! The caller's transaction.

use std::fmt;
use std::mem::take;
use std::sync::Arc;

use fanout_core::{ErrorKind, MessageId, NewMessage, Receipt, Result, Timestamp, TopicName};

use crate::pledging::Pledge;
use crate::publishing::Staged;
use crate::refusal::Refusal;
use crate::shared::Shared;
use crate::state::State;

/// A transaction of the memory engine: a list of what takes effect when it commits.
///
/// Nothing is locked while it is open. It reserves room for what it publishes, and at most one open
/// transaction settles a message. It has no savepoints. Dropping it rolls back.
///
/// A refused settlement dooms it: every later call and the commit are refused with the same kind.
pub struct MemoryTx {
    shared: Arc<Shared>,
    session: u64,
    staged: Vec<Staged>,
    pledges: Vec<Pledge>,
    doomed: Option<ErrorKind>,
}

impl MemoryTx {
    pub(crate) fn new(shared: Arc<Shared>, session: u64) -> Self {
        Self {
            shared,
            session,
            staged: Vec::new(),
            pledges: Vec::new(),
            doomed: None,
        }
    }

    fn check(&self, engine: &Arc<Shared>) -> Result<(), Refusal> {
        if !Arc::ptr_eq(&self.shared, engine) {
            return Err(Refusal::ForeignTransaction);
        }
        self.doomed
            .map_or(Ok(()), |kind| Err(Refusal::MustRollBack(kind)))
    }

    pub(crate) fn publish(
        &mut self,
        engine: &Arc<Shared>,
        topic: &TopicName,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<MessageId>> {
        engine.step(|state, now| {
            self.check(engine)?;
            NewMessage::check_batch(&messages)?;
            let staged = state.stage(topic, messages, now)?;
            let ids = staged.ids();
            self.staged.push(staged);
            Ok(ids)
        })
    }

    pub(crate) fn settle(&mut self, engine: &Arc<Shared>, receipts: &[Receipt]) -> Result<()> {
        engine.step(|state, _| {
            self.check(engine)?;
            match state.pledge(self.session, receipts) {
                Ok(pledges) => {
                    self.pledges.extend(pledges);
                    Ok(())
                }
                Err(refusal) => {
                    self.doomed = Some(refusal.kind());
                    Err(refusal)
                }
            }
        })
    }

    pub(crate) fn commit(mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        shared.step(|state, now| self.apply(state, now))
    }

    fn apply(&mut self, state: &mut State, now: Timestamp) -> Result<(), Refusal> {
        self.check(&Arc::clone(&self.shared))?;
        for staged in &self.staged {
            state.check_staged(staged)?;
        }
        for pledge in &self.pledges {
            state.check_pledge(self.session, pledge)?;
        }
        for pledge in take(&mut self.pledges) {
            state.fulfil(&pledge, now);
        }
        for staged in take(&mut self.staged) {
            state.admit(staged);
        }
        Ok(())
    }
}

/// What was not committed is undone.
impl Drop for MemoryTx {
    fn drop(&mut self) {
        let (staged, pledges) = (take(&mut self.staged), take(&mut self.pledges));
        if staged.is_empty() && pledges.is_empty() {
            return;
        }
        self.shared.always(|state| {
            for batch in &staged {
                state.abandon(batch);
            }
            state.withdraw(self.session, &pledges);
        });
    }
}

impl fmt::Debug for MemoryTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTx")
            .field("staged", &self.staged.len())
            .field("settlements", &self.pledges.len())
            .field("doomed", &self.doomed)
            .finish_non_exhaustive()
    }
}
