//! The life cycle of subscriptions.

use std::time::Duration;

use fanout_core::{DeleteTopic, ErrorKind, MessageId, StartPosition, Subscribe, Transactional};

use super::Driver;
use crate::acceptor::{Checked, expect_error};
use crate::coverage::Event;
use crate::op::Start;
use crate::reader::{Channel, LeaseLength, Reader};

impl<B: Transactional> Driver<'_, B> {
    pub(super) async fn subscribe(
        &mut self,
        reader: Reader,
        lease: LeaseLength,
        start: Start,
    ) -> Checked {
        let options = reader.options(lease, self.orders);
        let start = self.position(reader.channel(), start);
        let subscribe = Subscribe {
            start,
            options: options.clone(),
        };
        let answer = self
            .backend
            .subscribe(&self.topic(reader.channel()), &reader.group(), subscribe)
            .await;
        self.acceptor
            .on_subscribe(reader, start, &options, &answer, self.now())
    }

    pub(super) async fn seek(&mut self, reader: Reader, to: Start) -> Checked {
        let topic = self.topic(reader.channel());
        let to = self.position(reader.channel(), to);
        let answer = self.backend.seek(&topic, &reader.group(), to).await;
        self.acceptor.on_seek(reader, to, &answer)
    }

    /// Names the same messages on every engine, though their ids and times may differ.
    fn position(&self, channel: Channel, start: Start) -> StartPosition {
        let positions = self.acceptor.positions(channel);
        let find = |number: u8| positions.get(usize::from(number) % (positions.len() + 1));
        let beyond = || self.now() + Duration::from_secs(1);
        let time = |number| find(number).map_or_else(beyond, |(_, at)| *at);
        match start {
            Start::Now => StartPosition::FromNow,
            Start::Beginning => StartPosition::FromBeginning,
            Start::Message(number) => StartPosition::FromMessage(match find(number) {
                Some((id, _)) => *id,
                None => MessageId(positions.last().map_or(0, |(id, _)| id.0) + 1_000),
            }),
            Start::Time(number) => StartPosition::FromTimestamp(time(number)),
            Start::After(number) => {
                StartPosition::FromTimestamp(time(number) + Duration::from_micros(1))
            }
        }
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
