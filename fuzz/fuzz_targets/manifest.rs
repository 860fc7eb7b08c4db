//! libFuzzer's way into [`ingora_fuzz::manifest`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ingora_fuzz::manifest::check(data));
