//! An interleaving as a whole, and what follows from its events.

use std::collections::BTreeMap;

use fanout_core::{Delivery, GroupIndex, MessageId, Outcome, Receipt, Timestamp, Verdict};

use crate::facts::{Facts, Reading, Stored};
use crate::history::{Event, Happened};
use crate::step::Step;

/// The events of the sessions and then of the drain, with what the database held between and after.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) events: Vec<Event>,
    /// The last round of the sessions; those of the drain come later.
    pub(crate) last_round: u64,
    /// Once the sessions had gone and maintenance had run.
    pub(crate) before_drain: Facts,
    pub(crate) after_drain: Facts,
}

/// A message, and what became of its publisher's transaction.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) id: i64,
    /// Of the call that published it.
    pub(crate) began: u64,
    /// When its transaction's commit was begun and had ended; none when it did not commit.
    pub(crate) committed: Option<(u64, u64)>,
}

/// A message in the hands of a member.
#[derive(Clone, Debug)]
pub(crate) struct Handed<'a> {
    pub(crate) event: &'a Event,
    pub(crate) delivery: &'a Delivery,
}

impl Handed<'_> {
    pub(crate) fn of(&self) -> (GroupIndex, MessageId) {
        (self.delivery.receipt.group(), self.delivery.message.id)
    }

    pub(crate) fn until(&self) -> Timestamp {
        self.delivery.until
    }
}

/// What a member said of a delivery by a call of its own.
#[derive(Clone, Debug)]
pub(crate) struct Said<'a> {
    pub(crate) event: &'a Event,
    pub(crate) receipt: Receipt,
    pub(crate) verdict: &'a Verdict,
    pub(crate) outcome: Outcome,
}

impl Said<'_> {
    pub(crate) fn of(&self) -> (GroupIndex, MessageId) {
        (self.receipt.group(), self.receipt.id())
    }

    /// Whether it settled the message for good.
    pub(crate) fn settles(&self) -> bool {
        matches!(self.verdict, Verdict::Done | Verdict::Skip) && self.outcome == Outcome::Applied
            || self.outcome == Outcome::DeadLettered
    }

    /// Whether the message may come again by it, or does not hold up its key any more.
    pub(crate) fn lets_go(&self) -> bool {
        matches!(self.verdict, Verdict::Release) && self.outcome == Outcome::Applied
            || matches!(self.outcome, Outcome::Retry { .. })
    }
}

/// A settlement within a transaction that committed.
#[derive(Clone, Debug)]
pub(crate) struct SettledIn<'a> {
    pub(crate) receipt: Receipt,
    pub(crate) call: &'a Event,
    pub(crate) commit: &'a Event,
}

impl SettledIn<'_> {
    pub(crate) fn of(&self) -> (GroupIndex, MessageId) {
        (self.receipt.group(), self.receipt.id())
    }
}

impl Story {
    pub(crate) fn handed(&self) -> Vec<Handed<'_>> {
        let mut handed = Vec::new();
        for event in &self.events {
            if let Happened::Fetched(deliveries) = &event.happened {
                handed.extend(deliveries.iter().map(|delivery| Handed { event, delivery }));
            }
        }
        handed
    }

    /// The delivery that something was said of.
    pub(crate) fn handed_before(&self, said: &Said<'_>) -> Option<Handed<'_>> {
        let mut handed = self.handed().into_iter();
        handed.find(|handed| handed.delivery.receipt == said.receipt)
    }

    pub(crate) fn said(&self) -> Vec<Said<'_>> {
        let mut said = Vec::new();
        for event in &self.events {
            if let Happened::Settled(settled) = &event.happened {
                said.extend(settled.iter().map(|(delivery, verdict, outcome)| Said {
                    event,
                    receipt: delivery.receipt,
                    verdict,
                    outcome: *outcome,
                }));
            }
        }
        said
    }

    /// The events of each session, in order.
    fn by_session(&self) -> BTreeMap<usize, Vec<&Event>> {
        let mut sessions: BTreeMap<usize, Vec<&Event>> = BTreeMap::new();
        for event in &self.events {
            sessions.entry(event.session).or_default().push(event);
        }
        for events in sessions.values_mut() {
            events.sort_by_key(|event| event.began);
        }
        sessions
    }

    /// What is done in each session's transactions that ended, with the commit where there was one.
    fn transactions(&self) -> Vec<(Vec<&Event>, Option<&Event>)> {
        let mut transactions = Vec::new();
        for events in self.by_session().into_values() {
            let mut open = Vec::new();
            for event in events {
                match event.step {
                    Step::Insert { .. } | Step::SettleIn => open.push(event),
                    Step::Commit | Step::Rollback | Step::Drop => {
                        let commit = event.step == Step::Commit && event.is_done();
                        transactions.push((std::mem::take(&mut open), commit.then_some(event)));
                    }
                    _ => {}
                }
            }
            transactions.push((open, None));
        }
        transactions
    }

    pub(crate) fn published(&self) -> Vec<Published> {
        let mut published = Vec::new();
        for event in &self.events {
            if let (Step::Publish { .. }, Happened::Published(id)) = (event.step, &event.happened) {
                published.push(Published {
                    id: id.0,
                    began: event.began,
                    committed: Some((event.began, event.ended)),
                });
            }
        }
        for (events, commit) in self.transactions() {
            for event in events {
                if let Happened::Published(id) = &event.happened {
                    published.push(Published {
                        id: id.0,
                        began: event.began,
                        committed: commit.map(|commit| (commit.began, commit.ended)),
                    });
                }
            }
        }
        published
    }

    pub(crate) fn settled_in(&self) -> Vec<SettledIn<'_>> {
        let mut settled = Vec::new();
        for (events, commit) in self.transactions() {
            let Some(commit) = commit else {
                continue;
            };
            for call in events {
                if let Happened::SettledIn(receipts) = &call.happened {
                    settled.extend(receipts.iter().map(|receipt| SettledIn {
                        receipt: *receipt,
                        call,
                        commit,
                    }));
                }
            }
        }
        settled
    }

    pub(crate) fn stored(&self, id: i64) -> Option<&Stored> {
        self.before_drain.log.iter().find(|stored| stored.id == id)
    }

    pub(crate) fn reading(&self, bit: GroupIndex) -> Option<&Reading> {
        self.before_drain.of_bit(bit.0.cast_signed())
    }

    /// Messages that were settled for a group, however, with when that had surely been done.
    pub(crate) fn settled(&self) -> BTreeMap<(GroupIndex, MessageId), u64> {
        let mut settled = BTreeMap::new();
        let said = self.said();
        let plain = said.iter().filter(|said| said.settles());
        let plain = plain.map(|said| (said.of(), said.event.ended));
        let within = self.settled_in();
        let within = within
            .iter()
            .map(|within| (within.of(), within.commit.ended));
        for (of, ended) in plain.chain(within) {
            let first = settled.entry(of).or_insert(ended);
            *first = ended.min(*first);
        }
        settled
    }
}
