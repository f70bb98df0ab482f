//! The ends of leases.

use std::time::Duration;

use fanout_core::{ErrorKind, Extension, Result, Timestamp};

use super::{Acceptor, Checked, Currency, Held, Seat, Violation, check, expect_error};
use crate::coverage::Event;
use crate::reader::Reader;

/// With this many stalls no further lease is let expire: five are poison.
const MOST_STALLS: usize = 3;

impl Acceptor {
    /// A member moved the end of leases.
    pub fn on_extend(
        &mut self,
        seat: Seat,
        extended: &[Held],
        by: Duration,
        answer: &Result<Vec<Extension>>,
        now: Timestamp,
    ) -> Checked {
        if extended
            .iter()
            .any(|held| self.handed[*held].seat.reader != seat.reader)
        {
            self.saw(Event::ForeignReceipt);
            return expect_error("extend", answer, &[ErrorKind::ForeignReceipt]);
        }
        let extensions = answer
            .as_ref()
            .map_err(|error| Violation::refused("extend", error))?;
        check!(
            extensions.len() == extended.len(),
            "extend: {} receipts, {} answers",
            extended.len(),
            extensions.len()
        );
        for (held, extension) in extended.iter().zip(extensions) {
            let (handed, currency) = (self.handed[*held], self.currency_for(seat, *held, now));
            match extension {
                Extension::Stale => {
                    check!(
                        currency != Currency::Certain,
                        "extend: {handed:?} has an open lease, got stale"
                    );
                    self.saw(Event::StaleReceipt);
                    self.void(*held, currency);
                }
                Extension::Extended { until } => {
                    check!(
                        currency != Currency::Stale && *until == now + by,
                        "extend: {handed:?} is {currency:?}, got {extension:?} now={now} by={by:?}"
                    );
                    let owed = self
                        .incarnation_mut(handed.seat)
                        .owed
                        .get_mut(&handed.message);
                    if let Some(lease) = owed.and_then(|owed| owed.lease.as_mut()) {
                        lease.until = *until;
                        lease.doubtful = false;
                    }
                    self.saw(Event::Extension);
                }
            }
        }
        Ok(())
    }

    /// The ends of all open leases.
    pub fn open_until(&self, now: Timestamp) -> Vec<Timestamp> {
        self.subscribed
            .values()
            .flatten()
            .flat_map(|incarnation| incarnation.owed.values())
            .filter_map(|owed| owed.lease.as_ref())
            .map(|lease| lease.until)
            .filter(|until| *until > now)
            .collect()
    }

    /// When everything that is owed and not in hand is due.
    pub fn all_due(&self, now: Timestamp) -> Timestamp {
        self.subscribed
            .values()
            .flatten()
            .flat_map(|incarnation| incarnation.owed.values())
            .filter_map(|owed| owed.due)
            .fold(now, Timestamp::max)
    }

    /// Whether one more expired lease might make the queue, whose stalls are limited, give up a
    /// message as poison: what poison is counts leases, and who gets leases when may differ.
    ///
    /// Stalls may be counted by lane, until something of the lane is settled.
    pub fn stalls_are_near_their_limit(&self) -> bool {
        let Some(queue) = self.latest(Reader::Queue) else {
            return false;
        };
        let incarnation = self.incarnation(queue);
        let mut lanes = incarnation.lane_stalls.values();
        let mut owed = incarnation.owed.values();
        lanes.any(|stalls| stalls.len() >= MOST_STALLS)
            || owed.any(|owed| owed.stalls as usize >= MOST_STALLS)
    }
}
