//! What is to be published, transaction by transaction.

use std::ops::Range;

use super::chance::{draw, happens};

/// How many of 1,000 transactions are rolled back.
const ROLLED_BACK: u64 = 120;
/// Most messages in a transaction.
const LARGEST: u64 = 200;

/// One transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    /// The numbers of its messages.
    pub(super) numbers: Range<u64>,
    pub(super) roll_back: bool,
}

/// All transactions: the numbers of those that are committed follow each other, so that each number
/// is committed once.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    seed: u64,
    messages: u64,
    transactions: u64,
    next: u64,
}

impl Plan {
    pub(super) fn new(seed: u64, messages: u64) -> Self {
        Self {
            seed,
            messages,
            transactions: 0,
            next: 0,
        }
    }
}

impl Iterator for Plan {
    type Item = Transaction;

    fn next(&mut self) -> Option<Transaction> {
        let left = self.messages - self.next;
        if left == 0 {
            return None;
        }
        let nth = self.transactions;
        self.transactions += 1;
        let size = (1 + draw(&[self.seed, nth, 0]) % LARGEST).min(left);
        let numbers = self.next..self.next + size;
        let roll_back = happens(ROLLED_BACK, &[self.seed, nth, 1]);
        if !roll_back {
            self.next += size;
        }
        Some(Transaction { numbers, roll_back })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_committed_once() {
        for messages in [1, 10, 20_000] {
            let all: Vec<_> = Plan::new(7, messages).collect();
            let committed = all.iter().filter(|transaction| !transaction.roll_back);
            let numbers = committed.flat_map(|transaction| transaction.numbers.clone());
            assert!(numbers.eq(0..messages));
        }
        let rolled_back = |transaction: &Transaction| transaction.roll_back;
        assert!(Plan::new(7, 20_000).any(|transaction| rolled_back(&transaction)));
    }
}
