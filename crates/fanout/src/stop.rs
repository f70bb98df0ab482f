//! A request to stop that any number of tasks hear, also those that begin to listen after it.

use tokio::sync::watch;

#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Sender<bool>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn request(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn requested(&self) {
        // The sender is `self`: the channel cannot close meanwhile.
        let _ = self.0.subscribe().wait_for(|stop| *stop).await;
    }
}
