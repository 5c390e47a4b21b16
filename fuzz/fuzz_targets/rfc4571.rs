//! libFuzzer's way into [`fuzz::rfc4571`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::rfc4571(data));
