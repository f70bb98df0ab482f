//! A witness of the order in which messages are handled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use fanout::{BoxError, Delivery, Handler, OnFailure};

use crate::support::number;

/// Handles messages whose payloads count up within each key, fails some of them, and notes whatever
/// is out of order.
#[derive(Clone)]
pub(crate) struct Witness {
    policy: OnFailure,
    max_attempts: u32,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    keys: BTreeMap<String, Key>,
    /// What was out of order.
    pub(crate) inversions: Vec<String>,
    /// Most handlers that ran at once.
    pub(crate) most: usize,
    running: usize,
}

#[derive(Debug, Default)]
struct Key {
    begun: BTreeSet<usize>,
    /// What later messages wait for: done, given up, or, where failures are parked, failed.
    over: BTreeSet<usize>,
    finished: BTreeSet<usize>,
    /// First attempts that run.
    running: BTreeSet<usize>,
}

impl Witness {
    pub(crate) fn new(policy: OnFailure, max_attempts: u32) -> Self {
        Self {
            policy,
            max_attempts,
            seen: Arc::default(),
        }
    }

    /// How many messages were handled or given up.
    pub(crate) fn finished(&self) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.keys.values().map(|key| key.finished.len()).sum()
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Seen) -> T) -> T {
        read(&self.seen.lock().unwrap())
    }

    /// One attempt in eight, and all attempts of one message in fifty.
    pub(crate) fn fails(key: &str, number: usize, attempt: u32) -> bool {
        let mixed = |text: String| {
            let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
            text.bytes().fold(2_166_136_261, step) >> 8
        };
        mixed(format!("{key}/{number}")).is_multiple_of(50)
            || mixed(format!("{key}/{number}/{attempt}")).is_multiple_of(8)
    }

    fn begin(&self, key: &str, number: usize, attempt: u32) {
        let mut seen = self.seen.lock().unwrap();
        seen.running += 1;
        seen.most = seen.most.max(seen.running);
        let known = seen.keys.entry(key.to_owned()).or_default();
        let first = known.begun.insert(number);
        let early: Vec<_> = (0..number).filter(|n| !known.over.contains(n)).collect();
        let beside = known.running.clone();
        let parked = self.policy == OnFailure::Park && attempt > 1;
        if first {
            known.running.insert(number);
        }
        let inverted = !early.is_empty() || (first && known.begun.last() != Some(&number));
        let crowded = self.policy == OnFailure::Park && first && !beside.is_empty();
        if !parked && (inverted || crowded) {
            seen.inversions.push(format!(
                "key `{key}` message {number} attempt {attempt} before {early:?} beside {beside:?}"
            ));
        }
    }

    fn end(&self, key: &str, number: usize, attempt: u32, failed: bool) {
        let mut seen = self.seen.lock().unwrap();
        seen.running -= 1;
        let known = seen.keys.entry(key.to_owned()).or_default();
        known.running.remove(&number);
        let finished = !failed || attempt >= self.max_attempts;
        if finished {
            known.finished.insert(number);
        }
        if finished || self.policy == OnFailure::Park {
            known.over.insert(number);
        }
    }
}

impl Handler for Witness {
    async fn handle(&self, delivery: &Delivery) -> Result<(), BoxError> {
        let key = delivery.message.key.clone().unwrap_or_default();
        let (number, attempt) = (number(&delivery.message), delivery.attempt);
        self.begin(&key, number, attempt);
        for _ in 0..number % 3 {
            tokio::task::yield_now().await;
        }
        let failed = Self::fails(&key, number, attempt);
        self.end(&key, number, attempt, failed);
        if failed {
            return Err("it did not work out".into());
        }
        Ok(())
    }
}
