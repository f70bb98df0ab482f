//! What can be read of an engine at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use fanout_core::{
    CompletionMode, DeadLetter, DeadReason, GroupRemaining, GroupStats, MessageAccounting,
    MessageId, Subscription, Timestamp,
};

use super::dead::Dead;
use super::owed::Owed;
use super::{Acceptor, Checked, Seat, Violation, check};
use crate::published::{Fate, Ordinal};
use crate::reader::{Channel, Reader};

impl Acceptor {
    /// All subscriptions of a topic, ended ones included.
    pub fn check_subscriptions(&self, channel: Channel, listed: &[Subscription]) -> Checked {
        let expected: Vec<_> = Reader::of(channel)
            .flat_map(|reader| self.subscribed.get(&reader).into_iter().flatten())
            .filter(|incarnation| !incarnation.superseded)
            .map(|incarnation| &incarnation.subscription)
            .collect();
        check!(
            listed.iter().collect::<Vec<_>>() == expected,
            "subscriptions: must be {expected:#?}, got {listed:#?}"
        );
        Ok(())
    }

    /// What a live subscription owes. What lags may be missing; what is shown once stays.
    pub fn check_pending(&mut self, seat: Seat, listed: &[MessageId]) -> Checked {
        let pending = self.ordinals_of("pending", seat.reader.channel(), listed)?;
        let incarnation = self.incarnation_mut(seat);
        for message in &pending {
            let settled = incarnation.settled.get(message);
            match incarnation.owed.get_mut(message) {
                Some(owed) => owed.lagging = false,
                None => {
                    return Err(Violation::new(format!(
                        "pending: {seat:?} does not owe message {message}: {settled:?}"
                    )));
                }
            }
        }
        let missing: Vec<_> = incarnation
            .owed
            .iter()
            .filter(|(message, owed)| !owed.lagging && !pending.contains(message))
            .collect();
        check!(
            missing.is_empty(),
            "pending: {seat:?} owes also {missing:?}"
        );
        Ok(())
    }

    /// After maintenance, what committed lags no more.
    pub fn on_maintain(&mut self) {
        let incarnations = self.subscribed.values_mut().flatten();
        for owed in incarnations.flat_map(|incarnation| incarnation.owed.values_mut()) {
            owed.lagging = false;
        }
        if self.transactions.is_empty() {
            for marked in self.marked.values_mut() {
                marked.settle();
            }
        }
    }

    /// Where the live groups stand, `pending` being what was just listed of each.
    pub fn check_stats(
        &self,
        channel: Channel,
        listed: &[GroupStats],
        pending: &BTreeMap<Reader, Vec<MessageId>>,
        now: Timestamp,
    ) -> Checked {
        let live: Vec<_> = self
            .live()
            .filter(|seat| seat.reader.channel() == channel)
            .collect();
        check!(
            live.len() == listed.len(),
            "stats: of {live:?}, got {listed:?}"
        );
        for (seat, stats) in live.into_iter().zip(listed) {
            let incarnation = self.incarnation(seat);
            let owed = || incarnation.owed.values();
            let ids = pending.get(&seat.reader).map_or(&[][..], Vec::as_slice);
            let lowest = ids.first().copied();
            let dead = self.dead.iter().filter(|dead| dead.reader == seat.reader);
            let expected = GroupStats {
                group: seat.reader.group(),
                status: incarnation.subscription.status,
                pending: ids.len() as u64,
                in_flight: stats.in_flight,
                delayed: stats.delayed,
                lowest_unsettled: lowest,
                oldest_pending_at: lowest
                    .and_then(|id| self.ordinals.get(&(channel, id)))
                    .map(|ordinal| self.published[*ordinal].created_at),
                dead_letters: dead.count() as u64,
                read_at: now,
            };
            check!(
                *stats == expected,
                "stats: must be {expected:?}, got {stats:?}"
            );
            let in_flight = owed().filter(|owed| owed.is_in_flight(now)).count() as u64
                ..=owed().filter(|owed| owed.may_be_in_flight(now)).count() as u64;
            let delayed = self.delayed(seat, now);
            check!(
                in_flight.contains(&stats.in_flight) && delayed.contains(&stats.delayed),
                "stats: must be in_flight={in_flight:?} delayed={delayed:?}, got {stats:?}"
            );
        }
        Ok(())
    }

    /// What the live groups owe of the messages that were published under a mode.
    pub fn check_remaining(
        &self,
        channel: Channel,
        mode: CompletionMode,
        listed: &[GroupRemaining],
    ) -> Checked {
        let live: Vec<_> = self
            .live()
            .filter(|seat| seat.reader.channel() == channel)
            .collect();
        let named = |seat: &Seat| {
            let status = self.incarnation(*seat).subscription.status;
            (seat.reader.group(), status)
        };
        let listed_names = listed.iter().map(|left| (left.group.clone(), left.status));
        check!(
            live.iter().map(named).eq(listed_names),
            "remaining: of {live:?}, got {listed:?}"
        );
        for (seat, left) in live.into_iter().zip(listed) {
            let may_be = self.remaining(seat, mode == CompletionMode::ReferenceCounting);
            check!(
                may_be.contains(&left.messages),
                "remaining: {seat:?} owes {may_be:?} of {mode}, got {left:?}"
            );
        }
        Ok(())
    }

    /// How many messages that are tracked, or not, a subscription owes. While it may yet be given some
    /// that are, nobody says that there are none.
    fn remaining(&self, seat: Seat, tracked: bool) -> RangeInclusive<u64> {
        if self.keeps_order(seat) {
            return 0..=0;
        }
        let of_kind = |(message, owed): &(&Ordinal, &Owed)| {
            self.published[**message].tracked == tracked && !owed.parked
        };
        let owed = &self.incarnation(seat).owed;
        let all = owed.iter().filter(of_kind).count() as u64;
        let known = owed
            .iter()
            .filter(of_kind)
            .filter(|(_, owed)| !owed.lagging);
        let known = known.count() as u64;
        if tracked {
            known.max(all.min(1))..=all.max(1)
        } else {
            known..=all
        }
    }

    /// How many failed messages are not due yet; of a lane that waits one counts.
    fn delayed(&self, seat: Seat, now: Timestamp) -> RangeInclusive<u64> {
        let incarnation = self.incarnation(seat);
        let delayed = incarnation
            .owed
            .iter()
            .filter(|(_, owed)| owed.is_delayed(now))
            .map(|(message, _)| *message);
        if !self.blocks(seat) {
            let count = delayed.count() as u64;
            return count..=count;
        }
        let mut lanes: BTreeSet<_> = delayed.map(|message| self.lane(message)).collect();
        let least = lanes.len() as u64;
        let lingering = incarnation.lingering.iter();
        lanes.extend(
            lingering
                .filter(|(_, due)| *due > now)
                .map(|(lane, _)| *lane),
        );
        least..=lanes.len() as u64
    }

    /// The dead letters of a topic, oldest first.
    pub fn check_dead_letters(&self, channel: Channel, listed: &[DeadLetter]) -> Checked {
        let mut expected: Vec<_> = self
            .dead
            .iter()
            .filter(|dead| dead.reader.channel() == channel)
            .cloned()
            .collect();
        let mut got = Vec::new();
        for letter in listed {
            let ordinal = self.ordinals.get(&(channel, letter.message.id)).copied();
            let reader = Reader::of(channel).find(|reader| reader.group() == letter.group);
            let (Some(message), Some(reader)) = (ordinal, reader) else {
                return Err(Violation::new(format!("dead letters: unknown {letter:?}")));
            };
            let published = &self.published[message];
            check!(
                letter.message.topic == *self.topic(channel)
                    && letter.message.payload == published.message.payload
                    && letter.message.key == published.message.key
                    && letter.message.headers == published.message.headers
                    && letter.message.created_at == published.created_at
                    && letter.reason == DeadReason::AttemptsExhausted,
                "dead letters: message {message} was {published:?}, got {letter:?}"
            );
            got.push(Dead {
                at: letter.dead_at,
                reader,
                message,
                attempts: letter.attempts,
                last_error: letter.last_error.clone(),
            });
        }
        check!(
            got.is_sorted_by_key(|dead| dead.at),
            "dead letters: oldest first, got {got:?}"
        );
        // Those of one call have one time and no order.
        expected.sort();
        got.sort();
        check!(
            got == expected,
            "dead letters: must be {expected:?}, got {got:?}"
        );
        Ok(())
    }

    /// Who must settle what, and who has, after maintenance.
    pub fn check_accounting(
        &self,
        channel: Channel,
        listed: &[MessageAccounting],
        now: Timestamp,
    ) -> Checked {
        let ids: Vec<_> = listed.iter().map(|accounting| accounting.id).collect();
        let messages = self.ordinals_of("accounting", channel, &ids)?;
        let committed: BTreeSet<_> = (0..self.published.len())
            .filter(|ordinal| {
                let published = &self.published[*ordinal];
                published.channel == channel
                    && published.fate == Fate::Committed
                    && published.tracked
            })
            .collect();
        check!(
            messages == committed,
            "accounting: must be of {committed:?}, got {messages:?}"
        );
        for accounting in listed {
            let ordinal = self.ordinals[&(channel, accounting.id)];
            let published = &self.published[ordinal];
            let names = |seats: &BTreeSet<Seat>| -> BTreeSet<_> {
                seats.iter().map(|seat| seat.reader.group()).collect()
            };
            check!(
                accounting.required == names(&published.required)
                    && accounting.completed == names(&published.completed),
                "accounting: message {ordinal} is {published:?}, got {accounting:?}"
            );
            // By seats: a group that was moved back has settled a message and must settle it again.
            let complete = published.required.is_subset(&published.completed);
            let plausible = match accounting.completed_at {
                Some(at) => complete && at >= published.created_at && at <= now,
                // Whether what nobody must settle is complete is not said.
                None => !complete || published.required.is_empty(),
            };
            check!(
                plausible,
                "accounting: message {ordinal} is complete={complete}, got {accounting:?}"
            );
        }
        Ok(())
    }

    /// The messages with these ids, which must be ascending.
    fn ordinals_of(
        &self,
        what: &str,
        channel: Channel,
        ids: &[MessageId],
    ) -> Checked<BTreeSet<Ordinal>> {
        check!(
            ids.windows(2).all(|pair| pair[0] < pair[1]),
            "{what}: not ascending: {ids:?}"
        );
        ids.iter()
            .map(|id| {
                self.ordinals
                    .get(&(channel, *id))
                    .copied()
                    .ok_or_else(|| Violation::new(format!("{what}: nobody published {id}")))
            })
            .collect()
    }
}
