//! Map layouts and packet logic of the dataplane, shared by the eBPF programs and the agent.
//!
//! Never here: std, allocation in the packet path, I/O. Tested in user space.
#![cfg_attr(not(test), no_std)]

pub mod addr;
