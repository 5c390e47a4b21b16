//! libFuzzer's way into [`fuzz::telephone_event`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::telephone_event(data));
