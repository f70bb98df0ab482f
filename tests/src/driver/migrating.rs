//! Changes of the mode.

use fanout_core::{CompletionMode, Transactional};

use super::Driver;
use crate::acceptor::Checked;
use crate::modes::Modes;
use crate::reader::Channel;

impl<B: Transactional> Driver<'_, B> {
    pub(super) async fn migrate(&mut self, channel: Channel, to: CompletionMode) -> Checked {
        if self.terms.modes != Modes::Mixed {
            return Ok(());
        }
        let topic = self.topic(channel);
        let answer = self.backend.migrate_topic(&topic, to).await;
        let read = self.backend.topic(&topic).await;
        self.acceptor.on_migrate(channel, to, &answer, &read)
    }
}
