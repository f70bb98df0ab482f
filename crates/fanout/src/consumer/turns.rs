//! Whose turn it is, in a group that wants order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use fanout_core::{Delivery, lane_of};

use super::in_hand::Ticket;

/// A lane of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane(pub(super) u16);

/// Where one in hand stands.
#[derive(Debug)]
struct Place {
    lane: Lane,
    /// Its key, as long as it has that key's turn.
    turn: Option<Arc<str>>,
    /// It failed, and waits for what becomes of that.
    failed: bool,
    /// The lane waits for it, too.
    holds: bool,
}

/// Who has the turn of each key, and who waits behind it.
#[derive(Debug)]
pub(super) struct Turns {
    lanes: u16,
    places: HashMap<Ticket, Place>,
    /// An entry for each key whose turn somebody has.
    behind: HashMap<Arc<str>, VecDeque<(Ticket, Delivery)>>,
    /// How many failures each lane waits for.
    held: HashMap<Lane, usize>,
    failures: usize,
    waiting: usize,
}

impl Turns {
    pub(super) fn new(lanes: u16) -> Self {
        Self {
            lanes,
            places: HashMap::new(),
            behind: HashMap::new(),
            held: HashMap::new(),
            failures: 0,
            waiting: 0,
        }
    }

    pub(super) fn lane_of(&self, delivery: &Delivery) -> Lane {
        let message = &delivery.message;
        Lane(lane_of(
            message.key.as_deref(),
            message.id.get(),
            self.lanes,
        ))
    }

    /// How many wait behind others.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes a delivery in hand and gives it back if its turn is now, as that of one without key
    /// always is.
    pub(super) fn take(&mut self, ticket: Ticket, delivery: Delivery) -> Option<Delivery> {
        let mut place = Place {
            lane: self.lane_of(&delivery),
            turn: None,
            failed: false,
            holds: false,
        };
        let ready = match delivery.message.key.as_deref() {
            None => Some(delivery),
            Some(key) => match self.behind.get_mut(key) {
                Some(behind) => {
                    behind.push_back((ticket, delivery));
                    self.waiting += 1;
                    None
                }
                None => {
                    let key = Arc::<str>::from(key);
                    place.turn = Some(Arc::clone(&key));
                    self.behind.insert(key, VecDeque::new());
                    Some(delivery)
                }
            },
        };
        self.places.insert(ticket, place);
        ready
    }

    /// Gives the turn to the next of the key, unless that has happened.
    pub(super) fn pass(&mut self, ticket: Ticket) -> Option<(Ticket, Delivery)> {
        let key = self.places.get_mut(&ticket)?.turn.take()?;
        let Some(next) = self.behind.get_mut(&*key)?.pop_front() else {
            self.behind.remove(&*key);
            return None;
        };
        self.waiting -= 1;
        if let Some(place) = self.places.get_mut(&next.0) {
            place.turn = Some(key);
        }
        Some(next)
    }

    /// It failed; `holds` lets its lane wait for what becomes of that.
    pub(super) fn fail(&mut self, ticket: Ticket, holds: bool) {
        if let Some(place) = self.places.get_mut(&ticket) {
            (place.failed, place.holds) = (true, holds);
            self.failures += 1;
            if holds {
                *self.held.entry(place.lane).or_default() += 1;
            }
        }
    }

    /// How many failures are not settled.
    pub(super) fn failures(&self) -> usize {
        self.failures
    }

    pub(super) fn is_held(&self, ticket: Ticket) -> bool {
        let lane = self.lane(ticket);
        lane.is_some_and(|lane| self.held.contains_key(&lane))
    }

    pub(super) fn lane(&self, ticket: Ticket) -> Option<Lane> {
        self.places.get(&ticket).map(|place| place.lane)
    }

    /// Forgets one whose turn has passed; returns its lane and whether that waited for it.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<(Lane, bool)> {
        let place = self.places.remove(&ticket)?;
        self.failures -= usize::from(place.failed);
        if place.holds
            && let Some(failures) = self.held.get_mut(&place.lane)
        {
            *failures -= 1;
            if *failures == 0 {
                self.held.remove(&place.lane);
            }
        }
        Some((place.lane, place.holds))
    }

    /// Takes out and forgets those that wait and are meant.
    pub(super) fn take_out(&mut self, is_meant: impl Fn(Ticket, Lane) -> bool) -> Vec<Ticket> {
        let Self { places, behind, .. } = self;
        let mut taken = Vec::new();
        for waiting in behind.values_mut() {
            waiting.retain(|(ticket, _)| {
                let place = places.get(ticket);
                let is_meant = place.is_none_or(|place| is_meant(*ticket, place.lane));
                if is_meant {
                    taken.push(*ticket);
                }
                !is_meant
            });
        }
        for ticket in &taken {
            places.remove(ticket);
        }
        self.waiting -= taken.len();
        taken
    }
}
