//! See [`fuzz::yaml`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("yaml"), |data: &[u8]| fuzz::yaml(data));
