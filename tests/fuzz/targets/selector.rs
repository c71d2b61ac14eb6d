//! See [`fuzz::selector`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("selector"), |data: &[u8]| fuzz::selector(data));
