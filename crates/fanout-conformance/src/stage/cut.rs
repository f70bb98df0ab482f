//! Dropping a call's future in the middle.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Where to drop a future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// How often it is polled. Each poll but the first follows a wake-up, so every point at which
    /// the call waits for something is one more.
    polls: usize,
    /// Whether it is dropped when what it waits for has come, or at once.
    arrived: bool,
}

/// More points to wait at than any call has.
const MAX_POLLS: usize = 200;

/// Runs `attempt` with every cut of a call, until with each moment the call was fast enough to
/// complete: then `attempt` returns true.
pub(crate) async fn at_every_cut(mut attempt: impl AsyncFnMut(Cut) -> bool) {
    for arrived in [false, true] {
        let mut completed = false;
        for polls in 0..MAX_POLLS {
            if attempt(Cut { polls, arrived }).await {
                completed = true;
                break;
            }
        }
        assert!(completed, "a call completes within {MAX_POLLS} polls");
    }
}

/// Polls a future as far as `cut` says and drops it; its output if it completed before.
pub(crate) async fn cut<F: Future>(future: F, cut: Cut) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|context| {
        if polled == cut.polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == cut.polls && !cut.arrived => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
