//! The node agent: its registration and stream, pods and their containers, images, volumes, network, dataplane.
//!
//! Never here: the store, Raft, the control plane.

pub mod config;
pub mod dataplane;
pub mod dial;
pub mod dns_sockets;
mod durable;
pub mod image;
pub mod join;
pub mod net;
pub mod pods;
mod runtime;
pub mod shim;
pub mod state;
pub mod stream;

pub use config::AgentConfig;
