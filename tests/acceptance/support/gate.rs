//! Lets transactions be held open while others commit, without waiting for each other for ever.

use tokio::sync::watch;

#[derive(Clone, Copy, Debug)]
struct Seen {
    commits: u64,
    /// Publishers that neither have finished nor wait here.
    moving: usize,
}

/// Publishers wait here with their transactions open until others have ended some of theirs.
#[derive(Debug)]
pub(crate) struct Gate(watch::Sender<Seen>);

impl Gate {
    pub(crate) fn new(publishers: usize) -> Self {
        Self(watch::Sender::new(Seen {
            commits: 0,
            moving: publishers,
        }))
    }

    /// A transaction ended.
    pub(crate) fn ended(&self) {
        self.0.send_modify(|seen| seen.commits += 1);
    }

    /// A publisher has finished.
    pub(crate) fn finished(&self) {
        self.0.send_modify(|seen| seen.moving -= 1);
    }

    /// Waits until others have ended `transactions` more, or nobody is left who could.
    pub(crate) async fn hold(&self, transactions: u64) {
        let mut until = 0;
        self.0.send_modify(|seen| {
            seen.moving -= 1;
            until = seen.commits + transactions;
        });
        let mut seen = self.0.subscribe();
        let _ = seen
            .wait_for(|seen| seen.commits >= until || seen.moving == 0)
            .await;
        self.0.send_modify(|seen| seen.moving += 1);
    }
}
