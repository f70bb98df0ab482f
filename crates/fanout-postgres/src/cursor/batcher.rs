//! Many callers, one statement.

use std::sync::Arc;
use std::time::Duration;

use fanout_core::{Error, ErrorKind, Result};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Performs what callers ask for together: while one round is under way, requests gather for the next.
///
/// A request is never part of a round that began before it was made. Rounds run in a task of their
/// own, so a caller that goes away takes nothing from the others.
pub(crate) struct Batcher<Request, Answer> {
    state: Mutex<State<Request, Answer>>,
    /// A request came that does not want to wait.
    hurry: Notify,
}

struct State<Request, Answer> {
    waiting: Vec<(Request, oneshot::Sender<Result<Answer>>)>,
    urgent: bool,
    running: bool,
}

impl<Request, Answer> Default for Batcher<Request, Answer> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: Vec::new(),
                urgent: false,
                running: false,
            }),
            hurry: Notify::new(),
        }
    }
}

impl<Request, Answer> std::fmt::Debug for Batcher<Request, Answer> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batcher").finish_non_exhaustive()
    }
}

impl<Request: Send + 'static, Answer: Send + 'static> Batcher<Request, Answer> {
    /// Performs a request with others. `round` answers each of its requests, in order; rounds begin at
    /// least `pace()` apart, unless one of their requests is urgent.
    pub(crate) async fn call(
        self: &Arc<Self>,
        request: Request,
        urgent: bool,
        pace: impl Fn() -> Duration + Send + 'static,
        round: impl Fn(Vec<Request>) -> BoxFuture<'static, Result<Vec<Answer>>> + Send + 'static,
    ) -> Result<Answer> {
        let (sender, receiver) = oneshot::channel();
        let lead = {
            let mut state = self.state.lock();
            state.waiting.push((request, sender));
            state.urgent |= urgent;
            !std::mem::replace(&mut state.running, true)
        };
        if lead {
            tokio::spawn(self.clone().run(pace, round));
        } else if urgent {
            self.hurry.notify_one();
        }
        receiver.await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Closed,
                "the runtime that the engine ran on is gone",
            ))
        })
    }

    async fn run(
        self: Arc<Self>,
        pace: impl Fn() -> Duration + Send,
        round: impl Fn(Vec<Request>) -> BoxFuture<'static, Result<Vec<Answer>>> + Send,
    ) {
        let stand = Stand(&*self);
        loop {
            let waiting = {
                let mut state = self.state.lock();
                if state.waiting.is_empty() {
                    state.running = false;
                    // From here on another may lead.
                    std::mem::forget(stand);
                    return;
                }
                state.urgent = false;
                std::mem::take(&mut state.waiting)
            };
            let next = Instant::now() + pace();
            let (requests, senders): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
            answer(senders, round(requests).await);
            self.rest_until(next).await;
        }
    }

    /// Waits for the next round's time; somebody may be in a hurry.
    async fn rest_until(&self, next: Instant) {
        while !self.state.lock().urgent {
            tokio::select! {
                () = tokio::time::sleep_until(next) => return,
                () = self.hurry.notified() => {}
            }
        }
    }
}

/// Lets the next caller lead when this round's task ends early, as when the runtime shuts down; those
/// who wait are told by their senders, which are dropped.
struct Stand<'a, Request, Answer>(&'a Batcher<Request, Answer>);

impl<Request, Answer> Drop for Stand<'_, Request, Answer> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if state.running {
            state.running = false;
            state.waiting.clear();
        }
    }
}

fn answer<Answer>(senders: Vec<oneshot::Sender<Result<Answer>>>, answers: Result<Vec<Answer>>) {
    match answers {
        // A caller that went away needs no answer.
        Ok(answers) => {
            for (sender, answer) in senders.into_iter().zip(answers) {
                drop(sender.send(Ok(answer)));
            }
        }
        Err(error) => {
            let (kind, error) = (error.kind(), Arc::new(error));
            for sender in senders {
                let message = error.message().to_owned();
                drop(sender.send(Err(Error::new(kind, message).with_source(error.clone()))));
            }
        }
    }
}
