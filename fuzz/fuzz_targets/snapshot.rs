//! `Snapshot`: two texts, and what the snapshots see.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fanout_tests::pure::snapshot(bytes));
