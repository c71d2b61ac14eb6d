//! See [`fuzz::apply`].

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::seeds::write("apply"), |data: &[u8]| fuzz::apply(data));
