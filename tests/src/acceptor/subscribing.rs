//! The life cycle of subscriptions.

use fanout_core::{
    ErrorKind, Result, StartPosition, Subscription, SubscriptionOptions, SubscriptionStatus,
    Timestamp,
};

use super::incarnation::Incarnation;
use super::{Acceptor, Checked, Seat, Violation, check, expect_error};
use crate::coverage::Event;
use crate::published::Fate;
use crate::reader::Reader;

use SubscriptionStatus::{Active, Cancelled, Paused};

impl Acceptor {
    /// The queue's built-in subscription, as it was read after the creation.
    pub fn on_built_in(&mut self, answer: &Result<Subscription>, now: Timestamp) -> Checked {
        let subscription = answer
            .as_ref()
            .map_err(|error| Violation::refused("built-in subscription", error))?;
        let expected = self.fresh(
            Reader::Queue,
            // The whole log is the group's, and it began with the log: either start says that.
            subscription.start,
            &SubscriptionOptions::default(),
            subscription,
            now,
        );
        check!(
            *subscription == expected,
            "built-in subscription: must be {expected:?}, got {subscription:?}"
        );
        let incarnation = Incarnation::new(expected, 0);
        self.subscribed.insert(Reader::Queue, vec![incarnation]);
        Ok(())
    }

    /// A subscription that begins now; the engine chose its id and index.
    fn fresh(
        &self,
        reader: Reader,
        start: StartPosition,
        options: &SubscriptionOptions,
        chosen: &Subscription,
        now: Timestamp,
    ) -> Subscription {
        Subscription {
            id: chosen.id,
            topic: self.topic(reader.channel()).clone(),
            group: reader.group(),
            group_index: chosen.group_index,
            status: Active,
            start,
            options: options.clone(),
            subscribed_at: now,
            status_changed_at: now,
            last_heartbeat_at: now,
        }
    }

    pub fn on_subscribe(
        &mut self,
        reader: Reader,
        start: StartPosition,
        options: &SubscriptionOptions,
        answer: &Result<Subscription>,
        now: Timestamp,
    ) -> Checked {
        self.overtake();
        if reader == Reader::Queue {
            return expect_error("subscribe", answer, &[ErrorKind::InvalidInput]);
        }
        if let Some(seat) = self.latest(reader).filter(|seat| self.is_live(*seat)) {
            let incarnation = self.incarnation_mut(seat);
            incarnation.leases.insert(options.lease);
            let subscription = &mut incarnation.subscription;
            subscription.options = options.clone();
            subscription.last_heartbeat_at = now;
            if subscription.status == Paused {
                subscription.status = Active;
                subscription.status_changed_at = now;
            }
            return self.expect_subscription("subscribe", seat, answer);
        }
        let subscription = answer
            .as_ref()
            .map_err(|error| Violation::refused("subscribe", error))?;
        let expected = self.fresh(reader, start, options, subscription, now);
        check!(
            *subscription == expected,
            "subscribe: must be {expected:?}, got {subscription:?}"
        );
        for other in Reader::of(reader.channel()) {
            for (epoch, known) in self
                .subscribed
                .get(&other)
                .into_iter()
                .flatten()
                .enumerate()
            {
                let known = &known.subscription;
                check!(
                    known.id < subscription.id,
                    "subscribe: id {} is not above {} of {other:?}/{epoch}",
                    subscription.id,
                    known.id
                );
            }
        }
        self.check_index("subscribe", reader.channel(), subscription)?;
        let began = self.next_ordinal();
        let incarnations = self.subscribed.entry(reader).or_default();
        let epoch = incarnations.len();
        incarnations.push(Incarnation::new(expected, began));
        if epoch > 0 {
            self.saw(Event::SubscribedAnew);
        }
        if self.begin_at(Seat { reader, epoch }, start) {
            self.saw(Event::StartInThePast);
        }
        Ok(())
    }

    pub fn on_pause(
        &mut self,
        reader: Reader,
        answer: &Result<Subscription>,
        now: Timestamp,
    ) -> Checked {
        self.on_switch("pause", reader, Paused, answer, now)?;
        if let Some(seat) = self.latest(reader)
            && answer.is_ok()
            && self.owes(seat) > 0
        {
            self.saw(Event::PauseWithBacklog);
        }
        Ok(())
    }

    pub fn on_resume(
        &mut self,
        reader: Reader,
        answer: &Result<Subscription>,
        now: Timestamp,
    ) -> Checked {
        self.on_switch("resume", reader, Active, answer, now)
    }

    fn on_switch(
        &mut self,
        what: &str,
        reader: Reader,
        to: SubscriptionStatus,
        answer: &Result<Subscription>,
        now: Timestamp,
    ) -> Checked {
        let Some(seat) = self.latest(reader) else {
            return expect_error(what, answer, &[ErrorKind::SubscriptionNotFound]);
        };
        if !self.is_live(seat) {
            return expect_error(what, answer, &[ErrorKind::InvalidTransition]);
        }
        self.set_status(seat, to, now);
        self.expect_subscription(what, seat, answer)
    }

    pub fn on_cancel(
        &mut self,
        reader: Reader,
        answer: &Result<Subscription>,
        now: Timestamp,
    ) -> Checked {
        if reader == Reader::Queue {
            return expect_error("cancel", answer, &[ErrorKind::InvalidTransition]);
        }
        let Some(seat) = self.latest(reader) else {
            return expect_error("cancel", answer, &[ErrorKind::SubscriptionNotFound]);
        };
        if self.is_live(seat) {
            self.saw(Event::Cancel);
            if self.published.iter().any(|p| p.fate == Fate::Open) {
                self.saw(Event::CancelledBesidePublisher);
            }
        }
        self.set_status(seat, Cancelled, now);
        self.forgive(seat);
        self.expect_subscription("cancel", seat, answer)
    }

    pub fn on_heartbeat(
        &mut self,
        reader: Reader,
        answer: &Result<Subscription>,
        now: Timestamp,
    ) -> Checked {
        match self.latest(reader) {
            None => expect_error("heartbeat", answer, &[ErrorKind::SubscriptionNotFound]),
            Some(seat) => self.on_beat(seat, answer, now),
        }
    }

    /// A member, or somebody for a group, gave a sign of life.
    pub fn on_beat(
        &mut self,
        seat: Seat,
        answer: &Result<Subscription>,
        now: Timestamp,
    ) -> Checked {
        if !self.is_live(seat) {
            return expect_error("heartbeat", answer, &[ErrorKind::SubscriptionEnded]);
        }
        self.incarnation_mut(seat).subscription.last_heartbeat_at = now;
        self.expect_subscription("heartbeat", seat, answer)
    }

    fn set_status(&mut self, seat: Seat, to: SubscriptionStatus, now: Timestamp) {
        let subscription = &mut self.incarnation_mut(seat).subscription;
        if subscription.status != to {
            subscription.status = to;
            subscription.status_changed_at = now;
        }
    }

    fn expect_subscription(
        &self,
        what: &str,
        seat: Seat,
        answer: &Result<Subscription>,
    ) -> Checked {
        let expected = &self.incarnation(seat).subscription;
        match answer {
            Ok(subscription) if subscription == expected => Ok(()),
            Ok(subscription) => Err(Violation::new(format!(
                "{what}: must be {expected:?}, got {subscription:?}"
            ))),
            Err(error) => Err(Violation::refused(what, error)),
        }
    }

    /// A member joined: what it says of its subscription.
    pub fn on_join(&self, reader: Reader, answer: &Result<Subscription>) -> Checked<Option<Seat>> {
        let Some(seat) = self.latest(reader) else {
            expect_error("join", answer, &[ErrorKind::SubscriptionNotFound])?;
            return Ok(None);
        };
        if !self.is_live(seat) {
            expect_error("join", answer, &[ErrorKind::SubscriptionEnded])?;
            return Ok(None);
        }
        self.expect_subscription("join", seat, answer)?;
        Ok(Some(seat))
    }
}
