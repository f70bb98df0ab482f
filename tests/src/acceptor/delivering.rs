//! Fetching and leaving.

use fanout_core::{
    CursorReceipt, Delivery, ErrorKind, Fetched, Lane, Receipt, ReceiptForm, Result,
    SubscriptionStatus, Timestamp,
};

use super::owed::{Lease, Place};
use super::{Acceptor, Checked, Handed, Held, Seat, Violation, check, expect_error};
use crate::coverage::Event;
use crate::published::{Fate, Ordinal};

impl Acceptor {
    /// A member fetched; returns the numbers of its receipts.
    pub fn on_fetch(
        &mut self,
        seat: Seat,
        session: u32,
        limit: usize,
        answer: &Result<Fetched>,
        now: Timestamp,
    ) -> Checked<Vec<Held>> {
        let status = self.incarnation(seat).subscription.status;
        if status == SubscriptionStatus::Cancelled {
            expect_error("fetch", answer, &[ErrorKind::SubscriptionEnded])?;
            return Ok(Vec::new());
        }
        let fetched = answer
            .as_ref()
            .map_err(|error| Violation::refused("fetch", error))?;
        check!(fetched.gaps.is_empty(), "fetch: gaps {:?}", fetched.gaps);
        check!(
            fetched.deliveries.len() <= limit,
            "fetch: {} deliveries, at most {limit} were asked for",
            fetched.deliveries.len()
        );
        check!(
            status == SubscriptionStatus::Active || fetched.deliveries.is_empty(),
            "fetch: a paused group got {:?}",
            fetched.deliveries
        );
        fetched
            .deliveries
            .iter()
            .map(|delivery| self.on_delivery(seat, session, delivery, now))
            .collect()
    }

    fn on_delivery(
        &mut self,
        seat: Seat,
        session: u32,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Checked<Held> {
        let channel = seat.reader.channel();
        let id = delivery.message.id;
        let Some(ordinal) = self.ordinals.get(&(channel, id)).copied() else {
            return Err(Violation::new(format!("fetch: nobody published {id}")));
        };
        let published = &self.published[ordinal];
        let is_same = delivery.message.topic == *self.topic(channel)
            && delivery.message.key == published.message.key
            && delivery.message.headers == published.message.headers
            && delivery.message.payload == published.message.payload
            && delivery.message.created_at == published.created_at;
        check!(
            is_same,
            "fetch: message {ordinal} was published at {} as {:?}, got {:?}",
            published.created_at,
            published.message,
            delivery.message
        );
        check!(
            published.fate == Fate::Committed,
            "fetch: message {ordinal} is {:?}",
            published.fate
        );
        let known = self.handed.iter().any(|h| h.receipt == delivery.receipt);
        check!(
            !known
                && delivery.receipt.id() == id
                && delivery.receipt.attempt() == delivery.attempt
                && delivery.receipt.topic() == self.topics[&channel].id,
            "fetch: the receipt of {ordinal} is not its own: {:?}",
            delivery.receipt
        );

        self.check_lease(seat, ordinal, delivery, now)?;
        self.check_form(seat, ordinal, &delivery.receipt)?;
        let place = self.check_turn(seat, ordinal, session, now)?;
        self.take(seat, session, ordinal, delivery, place, now)
    }

    /// Whether the message may be handed out now, and like this.
    fn check_lease(
        &self,
        seat: Seat,
        ordinal: Ordinal,
        delivery: &Delivery,
        now: Timestamp,
    ) -> Checked {
        let incarnation = self.incarnation(seat);
        check!(
            (delivery.receipt.subscription(), delivery.receipt.group())
                == (
                    incarnation.subscription.id,
                    incarnation.subscription.group_index
                ),
            "fetch: the receipt of {ordinal} is of another group: {:?}",
            delivery.receipt
        );
        let settled = incarnation.settled.get(&ordinal);
        let Some(owed) = incarnation.owed.get(&ordinal) else {
            return Err(Violation::new(format!(
                "fetch: {seat:?} does not owe message {ordinal}: {settled:?}"
            )));
        };
        check!(
            !owed.is_in_flight(now),
            "fetch: message {ordinal} of {seat:?} is leased: {:?} now={now}",
            owed.lease
        );
        check!(
            owed.due.is_none_or(|due| due <= now),
            "fetch: message {ordinal} of {seat:?} is not due: {:?} now={now}",
            owed.due
        );
        check!(
            delivery.attempt == owed.failures + 1,
            "fetch: message {ordinal} of {seat:?} has failed {} times, got attempt {}",
            owed.failures,
            delivery.attempt
        );
        check!(
            incarnation
                .leases
                .iter()
                .any(|lease| now + *lease == delivery.until),
            "fetch: message {ordinal} of {seat:?} is leased until {} now={now} leases={:?}",
            delivery.until,
            incarnation.leases
        );
        Ok(())
    }

    /// Whether the receipt tells how the message is accounted for.
    fn check_form(&self, seat: Seat, ordinal: Ordinal, receipt: &Receipt) -> Checked {
        let parked = self.incarnation(seat).owed[&ordinal].parked;
        let lane = Lane(self.lane(ordinal));
        let fits = match receipt.form() {
            ReceiptForm::Tracked(_) => self.tracks(seat, ordinal) || parked,
            ReceiptForm::Cursor(CursorReceipt { lane: of, .. }) => {
                !self.tracks(seat, ordinal) && !parked && *of == lane
            }
        };
        check!(
            fits,
            "fetch: message {ordinal} of {seat:?} in {lane:?} is tracked={} parked={parked}, got \
             {receipt:?}",
            self.tracks(seat, ordinal)
        );
        Ok(())
    }

    fn take(
        &mut self,
        seat: Seat,
        session: u32,
        ordinal: Ordinal,
        delivery: &Delivery,
        place: Place,
        now: Timestamp,
    ) -> Checked<Held> {
        let held = self.handed.len();
        let lane = self.lane(ordinal);
        let pledged = self.pledged_in(seat, ordinal).next().is_some();
        let incarnation = self.incarnation_mut(seat);
        let Some(owed) = incarnation.owed.get_mut(&ordinal) else {
            return Err(Violation::new("fetch: the message is not owed"));
        };
        owed.lagging = false;
        let before = owed.lease.replace(Lease {
            handed: held,
            until: delivery.until,
            session,
            place,
            doubtful: false,
        });
        if let Some(before) = before.filter(|before| !before.doubtful) {
            owed.stalls += 1;
            incarnation.lane_stalls.entry(lane).or_default().insert(now);
            self.saw(Event::Redelivery);
            let by_cursor = matches!(delivery.receipt.form(), ReceiptForm::Cursor(_));
            if by_cursor && before.session != session {
                self.saw(Event::Takeover);
            }
        }
        if pledged {
            self.saw(Event::RedeliveredInTransaction);
        }
        self.handed.push(Handed {
            receipt: delivery.receipt,
            seat,
            message: ordinal,
            attempt: delivery.attempt,
            session,
            spent: false,
        });
        Ok(held)
    }

    /// A member left: what it held is due at once.
    pub fn on_leave(&mut self, seat: Seat, session: u32, answer: &Result<()>) -> Checked {
        answer
            .as_ref()
            .map_err(|error| Violation::refused("leave", error))?;
        for owed in self.incarnation_mut(seat).owed.values_mut() {
            if owed
                .lease
                .as_ref()
                .is_some_and(|lease| lease.session == session)
            {
                owed.give_back();
            }
        }
        Ok(())
    }
}
