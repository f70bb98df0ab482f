//! Positions, and moving to them.

use fanout_core::{ErrorKind, MessageId, Result, StartPosition, Subscription, Timestamp};

use super::incarnation::Incarnation;
use super::owed::Owed;
use super::{Acceptor, Checked, Seat, Violation, check, expect_error};
use crate::coverage::Event;
use crate::published::{Fate, Ordinal};
use crate::reader::{Channel, Reader};

impl Acceptor {
    /// The ids and times of what was published, whatever became of it, in order.
    pub fn positions(&self, channel: Channel) -> Vec<(MessageId, Timestamp)> {
        self.published
            .iter()
            .filter(|published| published.channel == channel && published.fate != Fate::Refused)
            .map(|published| (published.id, published.created_at))
            .collect()
    }

    fn committed(&self, channel: Channel) -> impl Iterator<Item = (Ordinal, MessageId, Timestamp)> {
        self.published
            .iter()
            .enumerate()
            .filter(move |(_, p)| p.channel == channel && p.fate == Fate::Committed)
            .map(|(ordinal, p)| (ordinal, p.id, p.created_at))
    }

    /// What has committed by now is owed if it is at or above the position; tells whether anything is.
    pub(super) fn begin_at(&mut self, seat: Seat, at: StartPosition) -> bool {
        let channel = seat.reader.channel();
        let first = match at {
            StartPosition::FromNow => None,
            StartPosition::FromBeginning => Some(MessageId(self.topics[&channel].dropped_id.0 + 1)),
            StartPosition::FromMessage(id) => Some(id),
            StartPosition::FromTimestamp(at) => self
                .committed(channel)
                .filter(|(_, _, created_at)| *created_at >= at)
                .map(|(_, id, _)| id)
                .min(),
        };
        let owed: Vec<_> = self
            .committed(channel)
            .filter(|(_, id, _)| first.is_some_and(|first| *id >= first))
            .map(|(ordinal, _, _)| ordinal)
            .collect();
        for message in &owed {
            // The engine brings tracked ones in by and by.
            let tracked = self.tracks(seat, *message);
            if tracked {
                self.published[*message].required.insert(seat);
            }
            let incarnation = self.incarnation_mut(seat);
            incarnation.owed.insert(*message, Owed::new(tracked));
        }
        self.marked.entry(channel).or_default().may_fall();
        !owed.is_empty()
    }

    /// What a subscription owed it owes no more, settled or not.
    pub(super) fn forgive(&mut self, seat: Seat) {
        let owed = std::mem::take(&mut self.incarnation_mut(seat).owed);
        for message in owed.into_keys() {
            self.published[message].required.remove(&seat);
        }
    }

    pub fn on_seek(
        &mut self,
        reader: Reader,
        to: StartPosition,
        answer: &Result<Subscription>,
    ) -> Checked {
        self.overtake();
        let Some(seat) = self.latest(reader) else {
            return expect_error("seek", answer, &[ErrorKind::SubscriptionNotFound]);
        };
        if !self.is_live(seat) {
            return expect_error("seek", answer, &[ErrorKind::InvalidTransition]);
        }
        let subscription = answer
            .as_ref()
            .map_err(|error| Violation::refused("seek", error))?;
        let before = self.incarnation(seat);
        let expected = Subscription {
            group_index: subscription.group_index,
            ..before.subscription.clone()
        };
        let leases = before.leases.clone();
        check!(
            *subscription == expected,
            "seek: must be {expected:?}, got {subscription:?}"
        );
        self.check_index("seek", reader.channel(), subscription)?;
        self.forgive(seat);
        self.incarnation_mut(seat).superseded = true;
        let began = self.next_ordinal();
        let sought = Incarnation {
            leases,
            ..Incarnation::new(expected, began)
        };
        self.subscribed.entry(reader).or_default().push(sought);
        let seat = Seat {
            epoch: seat.epoch + 1,
            ..seat
        };
        self.begin_at(seat, to);
        self.saw(Event::Seek);
        let pledges = |reader| {
            let mut open = self.transactions.values();
            open.any(|open| open.pledged.iter().any(|(seat, _)| seat.reader == reader))
        };
        if pledges(reader) {
            self.saw(Event::SeekBesideTransaction);
        }
        Ok(())
    }

    /// No live group of the topic has the index, also not this one before.
    pub(super) fn check_index(
        &self,
        what: &str,
        channel: Channel,
        subscription: &Subscription,
    ) -> Checked {
        for seat in self.live().filter(|seat| seat.reader.channel() == channel) {
            check!(
                self.incarnation(seat).subscription.group_index != subscription.group_index,
                "{what}: index {} is that of {seat:?}",
                subscription.group_index
            );
        }
        Ok(())
    }
}
