//! The eBPF programs: read the packet, ask `dataplane`, write the packet.
#![no_std]
#![no_main]
