//! Map layouts and packet logic of the dataplane, shared by the eBPF programs and the agent.
//!
//! Every decision about a packet or a socket is a function here, generic over [`tables::Tables`]: the programs give
//! it the kernel's maps, the tests a model in memory. Functions on the packet path are `inline(always)`: the
//! verifier then sees one straight function per program, and no call that would have to return a struct.
//!
//! Never here: std, allocation in the packet path, I/O. Tested in user space.
#![cfg_attr(not(test), no_std)]

pub mod addr;
pub mod checksum;
pub mod flow;
pub mod layout;
pub mod packet;
pub mod path;
pub mod reset;
pub mod service;
pub mod socket;
pub mod tables;
pub mod verdict;

#[cfg(test)]
mod model;
