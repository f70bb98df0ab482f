//! The life cycle of subscriptions.

use fanout_core::{DeleteTopic, ErrorKind, Subscribe, Transactional};

use super::Driver;
use crate::acceptor::{Checked, expect_error};
use crate::coverage::Event;
use crate::reader::{Channel, LeaseLength, Reader};

impl<B: Transactional> Driver<'_, B> {
    pub(super) async fn subscribe(&mut self, reader: Reader, lease: LeaseLength) -> Checked {
        let options = reader.options(lease);
        let answer = self
            .backend
            .subscribe(
                &self.topic(reader.channel()),
                &reader.group(),
                Subscribe::from(options.clone()),
            )
            .await;
        self.acceptor
            .on_subscribe(reader, &options, &answer, self.now())
    }

    pub(super) async fn pause(&mut self, reader: Reader) -> Checked {
        let topic = self.topic(reader.channel());
        let answer = self.backend.pause(&topic, &reader.group()).await;
        self.acceptor.on_pause(reader, &answer, self.now())
    }

    pub(super) async fn resume(&mut self, reader: Reader) -> Checked {
        let topic = self.topic(reader.channel());
        let answer = self.backend.resume(&topic, &reader.group()).await;
        self.acceptor.on_resume(reader, &answer, self.now())
    }

    pub(super) async fn cancel(&mut self, reader: Reader) -> Checked {
        let topic = self.topic(reader.channel());
        let answer = self.backend.cancel(&topic, &reader.group()).await;
        self.acceptor.on_cancel(reader, &answer, self.now())
    }

    pub(super) async fn heartbeat(&mut self, reader: Reader) -> Checked {
        let topic = self.topic(reader.channel());
        let answer = self.backend.heartbeat(&topic, &reader.group()).await;
        self.acceptor.on_heartbeat(reader, &answer, self.now())
    }

    /// Deleting a topic that has unsettled messages is refused. Not tried beside an open
    /// transaction: on Postgres it waits for publishers.
    pub(super) async fn refuse_deletion(&mut self, channel: Channel) -> Checked {
        let mut readers = Reader::of(channel).filter_map(|reader| self.acceptor.latest(reader));
        let owed = readers.any(|seat| self.acceptor.owes(seat) > 0);
        if !owed || self.acceptor.has_open_transactions() {
            return Ok(());
        }
        let answer = self
            .backend
            .delete_topic(&self.topic(channel), DeleteTopic::IfSettled)
            .await;
        self.acceptor.saw(Event::DeletionRefused);
        expect_error("delete", &answer, &[ErrorKind::WouldLoseMessages])
    }
}
