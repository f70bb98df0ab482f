//! Publishing: ids, and who owes what.

use std::collections::BTreeSet;

use fanout_core::{
    CompletionMode, ErrorKind, MessageId, NewMessage, Result, SubscriptionStatus, Timestamp,
};

use super::owed::Owed;
use super::{Acceptor, Checked, Doom, Seat, Violation, check, expect_error};
use crate::coverage::Event;
use crate::published::{Fate, Moment, Ordinal, Published};
use crate::reader::Channel;

impl Acceptor {
    /// The number of the next message.
    pub fn next_ordinal(&self) -> Ordinal {
        self.published.len()
    }

    /// A batch was published in a transaction of its own.
    pub fn on_publish(
        &mut self,
        channel: Channel,
        messages: &[NewMessage],
        answer: &Result<Vec<MessageId>>,
        now: Timestamp,
    ) -> Checked {
        self.overtake();
        let tx = self.next_moment();
        let batch = self.note(channel, tx, messages, answer, now)?;
        if answer.is_ok() {
            self.commit_messages(&batch);
        }
        Ok(())
    }

    /// A batch was published in an open transaction.
    pub fn on_publish_in(
        &mut self,
        slot: u8,
        channel: Channel,
        messages: &[NewMessage],
        answer: &Result<Vec<MessageId>>,
        now: Timestamp,
    ) -> Checked {
        let tx = self.transaction(slot).began;
        let batch = self.note(channel, tx, messages, answer, now)?;
        let open = self.transaction_mut(slot);
        match answer {
            Ok(_) => open.published.extend(batch),
            Err(_) => open.doom = Some(Doom::Refused),
        }
        Ok(())
    }

    /// Takes the messages in, whatever became of them, and checks the answer.
    fn note(
        &mut self,
        channel: Channel,
        tx: Moment,
        messages: &[NewMessage],
        answer: &Result<Vec<MessageId>>,
        now: Timestamp,
    ) -> Checked<Vec<Ordinal>> {
        let first = self.published.len();
        let began = self.next_moment();
        let mode = self.topics[&channel].config.completion_mode;
        self.marked.entry(channel).or_default().attempts += messages.len() as i64;
        self.published
            .extend(messages.iter().map(|message| Published {
                channel,
                message: message.clone(),
                fate: Fate::Refused,
                id: MessageId(0),
                created_at: now,
                tx,
                began,
                committed: None,
                tracked: mode == CompletionMode::ReferenceCounting,
                required: BTreeSet::new(),
                completed: BTreeSet::new(),
            }));
        let batch: Vec<_> = (first..self.published.len()).collect();
        if self.topics[&channel]
            .config
            .block_writes_on_zero_subscriptions
            && self.counting(channel).next().is_none()
        {
            self.saw(Event::WritesBlocked);
            expect_error("publish", answer, &[ErrorKind::NoSubscriptions])?;
            return Ok(batch);
        }
        let ids = answer
            .as_ref()
            .map_err(|error| Violation::refused("publish", error))?;
        check!(
            ids.len() == messages.len() && ids.windows(2).all(|pair| pair[0] < pair[1]),
            "publish: {} messages got the ids {ids:?}",
            messages.len()
        );
        for (ordinal, id) in batch.iter().zip(ids) {
            let known = self.ordinals.insert((channel, *id), *ordinal);
            check!(
                id.0 > 0 && known.is_none(),
                "publish: id {id} is not new: {known:?}"
            );
            let published = &mut self.published[*ordinal];
            published.id = *id;
            published.fate = Fate::Open;
        }
        Ok(batch)
    }

    fn counting(&self, channel: Channel) -> impl Iterator<Item = Seat> {
        self.live()
            .filter(|seat| {
                matches!(
                    self.incarnation(*seat).subscription.status,
                    SubscriptionStatus::Active | SubscriptionStatus::Paused
                )
            })
            .filter(move |seat| seat.reader.channel() == channel)
    }

    /// Every group that counts now owes the messages.
    pub(super) fn commit_messages(&mut self, batch: &[Ordinal]) {
        let moment = self.next_moment();
        for ordinal in batch {
            let seats: Vec<_> = self.counting(self.published[*ordinal].channel).collect();
            for seat in seats {
                let tracked = self.tracks(seat, *ordinal);
                let mut owed = self.incarnation(seat).owed.keys();
                if owed.any(|other| self.tracks(seat, *other) != tracked) {
                    self.saw(Event::OwesOfBothKinds);
                }
                let incarnation = self.incarnation_mut(seat);
                let late = *ordinal < incarnation.began;
                let paused = incarnation.subscription.status == SubscriptionStatus::Paused;
                incarnation
                    .owed
                    .insert(*ordinal, Owed::new(late && tracked));
                if tracked {
                    self.published[*ordinal].required.insert(seat);
                }
                if late {
                    self.saw(Event::SubscribedBesidePublisher);
                }
                if paused {
                    self.saw(Event::PauseWithBacklog);
                }
            }
            let published = &mut self.published[*ordinal];
            published.fate = Fate::Committed;
            published.committed = Some(moment);
        }
    }

    /// Something happened that a publisher which commits later comes too late for.
    pub(super) fn overtake(&mut self) {
        for open in self.transactions.values_mut() {
            open.overtaken |= !open.published.is_empty();
        }
    }
}
