//! The node agent: its registration and stream, pods and their containers, images, volumes, network, dataplane.
//!
//! Never here: the store, Raft, the control plane.

mod causes;
pub mod claim;
pub mod cleanup;
pub mod config;
pub mod dataplane;
pub mod dial;
pub mod dns_sockets;
mod durable;
pub mod exchange;
pub mod hierarchies;
pub mod image;
mod inotify;
pub mod join;
mod logs;
pub mod membership;
pub mod net;
pub mod node_status;
pub mod pods;
pub mod programming;
pub mod ranges;
mod requests;
pub mod run;
mod runtime;
pub mod shim;
pub mod state;
pub mod stream;
mod volume;

pub use cleanup::{CleanupError, Removed, cleanup};
pub use config::{AgentConfig, LOCK};
pub use run::{AgentError, run};
