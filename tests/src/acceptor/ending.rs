//! How a history ended, in terms that mean the same on every engine.

use std::collections::BTreeMap;

use fanout_core::SubscriptionStatus;

use super::incarnation::How;
use super::{Acceptor, Seat};
use crate::published::{Fate, Ordinal};
use crate::reader::{Channel, Reader};

/// What two engines that saw the same history must agree on once it is drained.
///
/// What a cancelled subscription had settled before is not part of it: that depends on who got what
/// when. The acceptor has compared it with what the engine itself had said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What became of each message.
    fates: Vec<Fate>,
    /// The statuses of each reader's subscriptions, oldest first.
    statuses: BTreeMap<Reader, Vec<SubscriptionStatus>>,
    /// What the live subscriptions have settled, how, and at which attempt.
    settled: BTreeMap<Seat, BTreeMap<Ordinal, (How, u32)>>,
    /// What they still owe: nothing.
    pending: BTreeMap<Seat, Vec<Ordinal>>,
    /// The last message up to which each topic is settled.
    watermarks: BTreeMap<Channel, Option<Ordinal>>,
}

impl Acceptor {
    pub fn ending(&self) -> Ending {
        let fates = self.published.iter().map(|published| published.fate);
        let statuses = self.subscribed.iter().map(|(reader, incarnations)| {
            let statuses = incarnations
                .iter()
                .filter(|one| !one.superseded)
                .map(|one| one.subscription.status);
            (*reader, statuses.collect())
        });
        let settled = self.live().map(|seat| {
            let settled = self.incarnation(seat).settled.iter();
            let settled =
                settled.map(|(message, settled)| (*message, (settled.how, settled.attempts)));
            (seat, settled.collect())
        });
        let pending = self.live().map(|seat| {
            let owed = self.incarnation(seat).owed.keys();
            (seat, owed.copied().collect())
        });
        let watermarks = Channel::ALL.map(|channel| (channel, self.marked_up_to(channel)));
        let watermarks = watermarks.into_iter();
        Ending {
            fates: fates.collect(),
            statuses: statuses.collect(),
            settled: settled.collect(),
            pending: pending.collect(),
            watermarks: watermarks.collect(),
        }
    }
}
