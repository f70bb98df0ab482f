//! Any bytes into everything that parses: no panic, and what parses comes back as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fanout_tests::pure::round_trips(bytes));
