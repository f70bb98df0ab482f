//! `IdSet` against a plain set of ids.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fanout_tests::pure::id_set(bytes));
