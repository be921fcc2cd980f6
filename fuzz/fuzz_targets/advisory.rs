#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| crates_ferry_fuzz::run("advisory", bytes));
