//! libFuzzer's way into [`ingora_fuzz::annotations`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ingora_fuzz::annotations::check(data));
