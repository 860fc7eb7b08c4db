//! libFuzzer's way into [`ingora_fuzz::request_head`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ingora_fuzz::request_head::check(data));
