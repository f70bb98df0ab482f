//! What the conformance suite leaves open: limits, clocks, jitter, transactions, old receipts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod capacity;
mod clock;
mod conformance;
mod jitter;
mod scan;
mod settled;
mod stage;
mod transactions;
