//! The eBPF programs: read the packet, ask `dataplane`, write the packet.
//!
//! Never here: decisions. Built for the target `bpfel-unknown-none` by agent/build.rs.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "no atomic with a result is stable for this target")]

mod maps;
mod packets;
mod sockets;

/// The helpers for sockets, tunnels and checksums are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// No check that can panic survives optimization; the verifier would refuse the endless loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
