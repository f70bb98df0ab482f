//! Handlers at work, each in a task of its own, so that a panic ends one delivery and no more.

use std::any::Any;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::future::pending;
use std::sync::Arc;

use fanout_core::{Delivery, Verdict};
use tokio::task::{Id, JoinError, JoinSet};

use super::counters::{Tally, count};
use super::in_hand::Ticket;
use super::{BoxError, Handler};

type Joined = Result<(Id, Result<(), BoxError>), JoinError>;

pub(super) struct Handlers<H> {
    handler: Arc<H>,
    tally: Arc<Tally>,
    tasks: JoinSet<Result<(), BoxError>>,
    tickets: HashMap<Id, Ticket>,
}

impl<H: Handler> Handlers<H> {
    pub(super) fn new(handler: Arc<H>, tally: Arc<Tally>) -> Self {
        Self {
            handler,
            tally,
            tasks: JoinSet::new(),
            tickets: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.tickets.len()
    }

    pub(super) fn start(&mut self, ticket: Ticket, delivery: Delivery) {
        let handler = Arc::clone(&self.handler);
        let task = self
            .tasks
            .spawn(async move { handler.handle(&delivery).await });
        self.tickets.insert(task.id(), ticket);
    }

    /// Waits until at least one has ended, and returns all that have; forever when none runs.
    pub(super) async fn ended(&mut self) -> Vec<(Ticket, Verdict)> {
        let Some(first) = self.tasks.join_next_with_id().await else {
            return pending().await;
        };
        // From here on nothing waits: what was joined cannot be lost by dropping this future.
        let mut verdicts = Vec::new();
        let mut next = Some(first);
        while let Some(joined) = next {
            verdicts.extend(self.verdict(joined));
            next = self.tasks.try_join_next_with_id();
        }
        verdicts
    }

    /// Gives up those that still run.
    pub(super) fn abort(&mut self) {
        self.tickets.clear();
        self.tasks.abort_all();
    }

    fn verdict(&mut self, joined: Joined) -> Option<(Ticket, Verdict)> {
        let (id, verdict) = match joined {
            Ok((id, Ok(()))) => (id, Verdict::Done),
            Ok((id, Err(error))) => {
                count(&self.tally.failed);
                (id, Verdict::Fail(chain(&*error)))
            }
            Err(ended) => {
                let id = ended.id();
                count(&self.tally.failed);
                let reason = match ended.try_into_panic() {
                    Ok(panic) => {
                        count(&self.tally.panicked);
                        format!("handler panicked: {}", message(&*panic))
                    }
                    Err(_) => "handler was cancelled".to_owned(),
                };
                (id, Verdict::Fail(reason))
            }
        };
        Some((self.tickets.remove(&id)?, verdict))
    }
}

impl<H> fmt::Debug for Handlers<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers")
            .field("running", &self.tickets.len())
            .finish_non_exhaustive()
    }
}

/// An error with what caused it, in one text.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
