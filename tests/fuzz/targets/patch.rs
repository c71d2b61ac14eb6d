//! See [`fuzz::patch`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("patch"), |data: &[u8]| fuzz::patch(data));
