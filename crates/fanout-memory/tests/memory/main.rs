//! What the conformance suite leaves open (limits, clocks, jitter, transactions, old receipts), and
//! what this engine as the specification says exactly (order, failures, starts).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocking;
mod capacity;
mod clock;
mod conformance;
mod jitter;
mod ordering;
mod ordering_scan;
mod parking;
mod scan;
mod seek;
mod settled;
mod stage;
mod starts;
mod transactions;
mod watermark;
