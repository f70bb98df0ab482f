//! Fetching and leaving.

use fanout_core::{Delivery, ErrorKind, Fetched, Result, SubscriptionStatus, Timestamp};

use super::owed::Lease;
use super::{Acceptor, Checked, Handed, Held, Seat, Violation, check, expect_error};
use crate::coverage::Event;
use crate::published::Fate;

impl Acceptor {
    /// A member fetched; returns the numbers of its receipts.
    pub(crate) fn on_fetch(
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

        let held = self.handed.len();
        let pledged = self.pledged_in(seat, ordinal).next().is_some();
        let incarnation = self.incarnation_mut(seat);
        check!(
            delivery.receipt.group() == incarnation.subscription.group_index,
            "fetch: the receipt of {ordinal} is of another group: {:?}",
            delivery.receipt
        );
        let settled = incarnation.settled.get(&ordinal);
        let Some(owed) = incarnation.owed.get_mut(&ordinal) else {
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
        let again = owed.lease.is_some();
        owed.stalls += u32::from(again);
        owed.lagging = false;
        owed.lease = Some(Lease {
            handed: held,
            until: delivery.until,
            session,
        });
        if again {
            self.saw(Event::Redelivery);
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
    pub(crate) fn on_leave(&mut self, seat: Seat, session: u32, answer: &Result<()>) -> Checked {
        answer
            .as_ref()
            .map_err(|error| Violation::refused("leave", error))?;
        for owed in self.incarnation_mut(seat).owed.values_mut() {
            if owed.lease.is_some_and(|lease| lease.session == session) {
                owed.lease = None;
                owed.due = None;
            }
        }
        Ok(())
    }
}
