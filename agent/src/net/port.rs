//! The seam between the network and the dataplane: a pod's port must be programmed before the pod runs.
//!
//! A trait, so that links and namespaces are tested without eBPF.

use std::net::IpAddr;

use async_trait::async_trait;

/// Where a pod hangs on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The pod.
    pub uid: String,
    /// Index of the host side of the pod's veth.
    pub host_ifindex: u32,
    /// The pod's address.
    pub ip: IpAddr,
    /// MAC of the pod's side of the veth.
    pub mac: [u8; 6],
}

/// Programs ports.
#[async_trait]
pub trait Ports: Send + Sync {
    /// Returns when the dataplane carries the port's traffic. Nothing changes if it does already.
    async fn program(&self, port: Port) -> Result<(), PortError>;
    /// Returns when the dataplane knows the port no more. Nothing changes if it does not.
    async fn withdraw(&self, uid: &str, ip: IpAddr) -> Result<(), PortError>;
}

/// The dataplane refused.
#[derive(Debug, thiserror::Error)]
#[error("change the dataplane's port")]
pub struct PortError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
