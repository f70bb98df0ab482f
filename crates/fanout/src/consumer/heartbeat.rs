//! Signs of life, in a task of their own: work that takes long must not make a group look dead.

use std::sync::Arc;

use fanout_core::{Error, ErrorKind, Member, Subscription};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::counters::{Tally, count};

use crate::pace::{Pace, ask_again};

/// Beats until it is dropped.
#[derive(Debug)]
pub(super) struct Heartbeat(JoinHandle<Error>);

impl Heartbeat {
    pub(super) fn start(member: Arc<dyn Member>, tally: Arc<Tally>) -> Self {
        Self(tokio::spawn(beat(member, tally)))
    }

    /// Why no more signs of life can be given. Must not be asked again after it answered.
    pub(super) async fn ended(&mut self) -> Error {
        match (&mut self.0).await {
            Ok(error) => error,
            Err(join) => {
                Error::new(ErrorKind::Closed, "the heartbeat task ended").with_source(join)
            }
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn beat(member: Arc<dyn Member>, tally: Arc<Tally>) -> Error {
    let mut errors = Pace::of_errors();
    loop {
        // From the start of the call: a slow answer must not stretch the interval.
        let began = Instant::now();
        let interval = member.subscription().options.heartbeat_interval;
        match member.heartbeat().await {
            Ok(subscription) if !subscription.status.counts() => return ended(&subscription),
            Ok(_) => {
                count(&tally.heartbeats);
                errors.hit();
                sleep_until(began + interval).await;
            }
            Err(error) if ask_again(error.kind()) => {
                count(&tally.errors);
                tracing::warn!(member = %member.name(), %error, "heartbeat failed");
                sleep_until(began + errors.miss().min(interval)).await;
            }
            Err(error) => return error,
        }
    }
}

fn ended(subscription: &Subscription) -> Error {
    Error::new(
        ErrorKind::SubscriptionEnded,
        format!(
            "subscription has ended topic=`{}` group=`{}` status=`{}`",
            subscription.topic, subscription.group, subscription.status
        ),
    )
}
