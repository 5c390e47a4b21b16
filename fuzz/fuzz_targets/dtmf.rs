//! libFuzzer's way into [`fuzz::dtmf`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::dtmf(data));
