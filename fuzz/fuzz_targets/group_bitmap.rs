//! `GroupBitmap` against a plain set of indexes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fanout_tests::pure::group_bitmap(bytes));
