//! See [`fuzz::json`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("json"), |data: &[u8]| fuzz::json(data));
