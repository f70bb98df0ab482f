//! Publishing.

use std::time::Duration;

use fanout_core::{NewMessage, Transactional};

use super::Driver;
use crate::acceptor::Checked;
use crate::op::{Batch, Purpose};
use crate::published::message;
use crate::reader::Channel;

impl<B: Transactional> Driver<'_, B> {
    fn batch(&self, batch: Batch) -> Vec<NewMessage> {
        let first = self.acceptor.next_ordinal();
        (0..batch.messages)
            .map(|n| message(first + usize::from(n), batch.keys.of(n)))
            .collect()
    }

    /// No two batches have one time, so that a time means the same messages on every engine.
    fn pass_a_moment(&self) {
        self.clock.advance(Duration::from_micros(1));
    }

    pub(super) async fn publish(&mut self, channel: Channel, batch: Batch) -> Checked {
        let (topic, messages) = (self.topic(channel), self.batch(batch));
        self.pass_a_moment();
        let answer = self.backend.publish(&topic, messages.clone()).await;
        self.acceptor
            .on_publish(channel, &messages, &answer, self.now())
    }

    pub(super) async fn publish_in(&mut self, tx: u8, channel: Channel, batch: Batch) -> Checked {
        let Some(tx) = self.find_publisher(tx).await? else {
            return Ok(());
        };
        let (topic, messages) = (self.topic(channel), self.batch(batch));
        self.pass_a_moment();
        let Some(open) = self.open.get_mut(&tx) else {
            return Ok(());
        };
        let answer = self
            .backend
            .publish_in(open.tx(), &topic, messages.clone())
            .await;
        self.acceptor
            .on_publish_in(tx, channel, &messages, &answer, self.now())
    }

    /// The open transaction that a number names among those that may publish; a new one if there is
    /// none.
    async fn find_publisher(&mut self, number: u8) -> Checked<Option<u8>> {
        let fitting: Vec<_> = self
            .open
            .keys()
            .copied()
            .filter(|tx| {
                let open = self.acceptor.transaction(*tx);
                open.purpose == Purpose::Transform && open.doom.is_none()
            })
            .collect();
        if fitting.is_empty() {
            return self.open(Purpose::Transform).await;
        }
        Ok(Some(fitting[usize::from(number) % fitting.len()]))
    }
}
