//! Every planner of the cluster, and the configuration they share.
//!
//! Never here: a decision. One line per planner.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use api::Timestamp;
use ipnet::IpNet;

use crate::plan::Planner;

/// What planners know of the cluster besides its objects. The same for the whole life of a driver.
#[derive(Debug, Clone)]
pub struct PlannerConfig {
    /// When this driver began to observe: silence of a node from before says nothing, since nobody listened.
    pub started: Timestamp,
    /// Range of all pods' addresses: nodes get their `spec.podCIDR` from it.
    pub cluster_cidr: IpNet,
    /// Length of the prefix of a node's range; 24 by default.
    pub node_prefix_length: u8,
    /// Range of service addresses; its first address is the Service `default/kubernetes`.
    pub service_cidr: IpNet,
    /// Address of the Service `kube-system/kube-dns`.
    pub dns_ip: IpAddr,
    /// Where pods and nodes reach the API server: the endpoint of the Service `default/kubernetes`.
    pub api_endpoint: SocketAddr,
    /// The cluster's certificate authority, PEM: the ConfigMap `kube-root-ca.crt` of every namespace.
    pub root_ca_pem: String,
    /// How long a node's Lease may go without renewal before the node counts as unreachable; 40 s by default.
    pub node_grace: Duration,
}

/// All planners of the control plane.
#[must_use]
pub fn planners(_config: PlannerConfig) -> Vec<Box<dyn Planner>> {
    Vec::new()
}
