//! The acceptor: it sees what is asked of an engine and what the engine answers, keeps in naive sets
//! what must follow, and rejects every answer that the contract does not allow.
//!
//! ```text
//!  op ──► driver ──► engine          who gets what when is the engine's choice:
//!            │          │            the acceptor follows it.
//!            │       answer          what is owed, settled, refused is not:
//!            └──────────┴──► acceptor   the acceptor knows it beforehand.
//! ```
//!
//! Per (subscription, message) it keeps: owed (due when, leased until when, by which receipt), or
//! settled (how, at which attempt). It shares no code with an engine.

mod dead;
mod delivering;
mod ending;
mod handed;
mod incarnation;
mod leasing;
mod observing;
mod open_transaction;
mod owed;
mod publishing;
mod settling;
mod subscribing;
mod transacting;
mod violation;

use std::collections::BTreeMap;

use fanout_core::{MessageId, Topic, TopicName};

use crate::coverage::{Event, Seen};
use crate::published::{Ordinal, Published};
use crate::reader::{Channel, Reader};

use dead::Dead;
pub(crate) use ending::Ending;
pub(crate) use handed::{Currency, Handed, Held};
use incarnation::Incarnation;
pub(crate) use incarnation::Seat;
pub(crate) use open_transaction::{Doom, OpenTransaction};
use violation::check;
pub(crate) use violation::{Checked, Violation, expect_error};

/// What must be true of one engine.
#[derive(Debug)]
pub(crate) struct Acceptor {
    topics: BTreeMap<Channel, Topic>,
    published: Vec<Published>,
    ordinals: BTreeMap<(Channel, MessageId), Ordinal>,
    subscribed: BTreeMap<Reader, Vec<Incarnation>>,
    handed: Vec<Handed>,
    transactions: BTreeMap<u8, OpenTransaction>,
    dead: Vec<Dead>,
    seen: Seen,
}

impl Acceptor {
    pub(crate) fn new(topics: BTreeMap<Channel, Topic>) -> Self {
        Self {
            topics,
            published: Vec::new(),
            ordinals: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            handed: Vec::new(),
            transactions: BTreeMap::new(),
            dead: Vec::new(),
            seen: Seen::new(),
        }
    }

    pub(crate) fn topic(&self, channel: Channel) -> &TopicName {
        &self.topics[&channel].name
    }

    /// What the history has met so far.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    pub(crate) fn saw(&mut self, event: Event) {
        self.seen.insert(event);
    }
}
