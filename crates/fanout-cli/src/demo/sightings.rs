//! What the handlers of a group saw: the witness beside the engine's own accounting.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;

use fanout::{MessageId, Outcome, Verdict};

/// What was seen of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sighting {
    /// The number in its payload.
    pub(super) number: u64,
    /// How often a handler got it.
    pub(super) handled: u32,
    /// How many settlements of it were reported to have taken effect.
    pub(super) effective: u32,
}

/// All that was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) messages: HashMap<MessageId, Sighting>,
    /// Handler runs.
    pub(super) attempts: u64,
    /// Messages that were settled, dead letters included.
    pub(super) settled: u64,
    pub(super) dead: u64,
    /// Members that crashed.
    pub(super) crashes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Sightings(Mutex<Seen>);

impl Sightings {
    /// A handler got a message; returns how many runs that makes.
    pub(super) fn handled(&self, id: MessageId, number: u64) -> u64 {
        self.with(|seen| {
            let sighting = seen.messages.entry(id).or_default();
            sighting.number = number;
            sighting.handled += 1;
            seen.attempts += 1;
            seen.attempts
        })
    }

    pub(super) fn settled(&self, id: MessageId, verdict: &Verdict, outcome: Outcome) {
        let dead = outcome == Outcome::DeadLettered;
        if !dead && (outcome, verdict) != (Outcome::Applied, &Verdict::Done) {
            return;
        }
        self.with(|seen| {
            seen.messages.entry(id).or_default().effective += 1;
            seen.settled += 1;
            seen.dead += u64::from(dead);
        });
    }

    pub(super) fn crashed(&self) {
        self.with(|seen| seen.crashes += 1);
    }

    /// Delivered, attempts, settled, dead, crashes: for the board.
    pub(super) fn counts(&self) -> [u64; 5] {
        self.with(|seen| {
            let delivered = seen.messages.len() as u64;
            [
                delivered,
                seen.attempts,
                seen.settled,
                seen.dead,
                seen.crashes,
            ]
        })
    }

    /// All of it, for the proof.
    pub(super) fn read(&self) -> Seen {
        self.with(|seen| seen.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Seen) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
