//! Cluster DNS: records from objects (pure) and the node-local server.
//!
//! [`index`] holds what names need of the network state and follows its changes; [`answer`] turns a question into
//! records; both are pure. [`server`] and [`upstream`] do the I/O. Never here: where the network state comes from.
//! Source: Kubernetes' DNS-based service discovery specification, version 1.1.0; RFC 1034, 1035, 2308, 2782.

pub mod answer;
pub mod index;
pub mod resolv_conf;
pub mod server;
pub mod upstream;

pub use answer::{Answer, answer};
pub use index::{Index, Zone};
pub use server::{DnsServer, Records, ServerConfig, StartError};
