//! What a failure does to a message and to its lane.

use fanout_core::{MessageId, OnFailure, Timestamp};

use super::Ledger;
use crate::path::Path;

impl Ledger {
    /// Ends the lease after a failure; the message is due again later, on its own or with its lane.
    pub(crate) fn retry(
        &mut self,
        id: MessageId,
        due: Timestamp,
        error: String,
        policy: OnFailure,
    ) {
        let Some(owed) = self.reschedule(id, due) else {
            return;
        };
        owed.lease = None;
        owed.failures = owed.failures.saturating_add(1);
        owed.last_error = Some(error);
        match (owed.path, policy) {
            (Path::Alone, _) => {}
            (Path::Lane, OnFailure::Block) => self.block(id),
            (Path::Lane | Path::Stream, _) => self.park(id),
        }
    }

    /// Lets the others go on without the message.
    fn park(&mut self, id: MessageId) {
        if let Some(owed) = self.owed.get_mut(&id) {
            self.lines.remove(owed);
            owed.path = Path::Alone;
        }
    }

    /// Lets the lane wait for the message, and takes back what was delivered after it there.
    fn block(&mut self, id: MessageId) {
        let Some(failed) = self.owed.get(&id) else {
            return;
        };
        let (lane, place) = (failed.entry.lane, failed.place);
        self.blocking.insert(id);
        self.release_where(|owed| {
            owed.path == Path::Lane
                && owed.entry.lane == lane
                && owed.place > place
                && owed.lease.is_some()
        });
    }
}
