//! The node agent: its registration and stream, pods and their containers, images, volumes, network, dataplane.
//!
//! Never here: the store, Raft, the control plane.

pub mod config;
pub mod dataplane;
mod durable;
pub mod image;
pub mod net;
pub mod pods;

pub use config::AgentConfig;
