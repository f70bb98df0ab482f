//! Pauses between fetches that find nothing.

use std::time::Duration;

use tokio::time::sleep;

const SHORTEST: Duration = Duration::from_millis(1);

/// How long to wait after a fetch that found nothing: the longer, the more there were.
#[derive(Debug)]
pub(crate) struct Pause {
    next: Duration,
    longest: Duration,
}

impl Pause {
    pub(crate) fn up_to(longest: Duration) -> Self {
        Self {
            next: SHORTEST,
            longest,
        }
    }

    /// Something was found.
    pub(crate) fn reset(&mut self) {
        self.next = SHORTEST;
    }

    /// Nothing was found.
    pub(crate) async fn wait(&mut self) {
        sleep(self.next).await;
        self.next = (self.next * 2).min(self.longest);
    }
}
