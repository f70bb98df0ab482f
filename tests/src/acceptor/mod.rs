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
//! Per (subscription, message) it keeps: owed (due when, leased until when, by which receipt, after
//! which messages of its key), or settled (how, at which attempt). It shares no code with an engine
//! but the rule that gives a message its lane.

mod dead;
mod delivering;
mod ending;
mod handed;
mod incarnation;
mod judging;
mod leasing;
mod migrating;
mod observing;
mod open_transaction;
mod ordering;
mod owed;
mod publishing;
mod seeking;
mod settling;
mod subscribing;
mod transacting;
mod violation;
mod watermarks;

use std::collections::BTreeMap;

use fanout_core::{MessageId, Topic, TopicName};

use crate::coverage::{Event, Seen};
use crate::published::{Moment, Ordinal, Published};
use crate::reader::{Channel, Reader};

use dead::Dead;
pub use ending::Ending;
pub use handed::{Currency, Handed, Held};
use incarnation::Incarnation;
pub use incarnation::Seat;
pub use open_transaction::{Doom, OpenTransaction};
pub use ordering::Turn;
use violation::check;
pub use violation::{Checked, Violation, expect_error};
use watermarks::Marked;

/// What must be true of one engine.
#[derive(Debug)]
pub struct Acceptor {
    topics: BTreeMap<Channel, Topic>,
    published: Vec<Published>,
    ordinals: BTreeMap<(Channel, MessageId), Ordinal>,
    subscribed: BTreeMap<Reader, Vec<Incarnation>>,
    handed: Vec<Handed>,
    transactions: BTreeMap<u8, OpenTransaction>,
    dead: Vec<Dead>,
    marked: BTreeMap<Channel, Marked>,
    moment: Moment,
    seen: Seen,
}

impl Acceptor {
    pub fn new(topics: BTreeMap<Channel, Topic>) -> Self {
        Self {
            topics,
            published: Vec::new(),
            ordinals: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            handed: Vec::new(),
            transactions: BTreeMap::new(),
            dead: Vec::new(),
            marked: BTreeMap::new(),
            moment: 0,
            seen: Seen::new(),
        }
    }

    pub fn topic(&self, channel: Channel) -> &TopicName {
        &self.topics[&channel].name
    }

    /// A point in time after all that has happened so far.
    fn next_moment(&mut self) -> Moment {
        self.moment += 1;
        self.moment
    }

    /// What the history has met so far.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    pub fn saw(&mut self, event: Event) {
        self.seen.insert(event);
    }
}
