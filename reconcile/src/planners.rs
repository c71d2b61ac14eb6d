//! Every planner of the cluster, and the configuration they share.
//!
//! Never here: a decision. One line per planner.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use api::Timestamp;
use ipnet::IpNet;

use crate::{
    builtin::Builtin,
    cluster_roles::ClusterRoles,
    defaults::NamespaceDefaults,
    deployment::Deployments,
    endpointslice::EndpointSlices,
    eviction::Eviction,
    garbage::Garbage,
    leftover_pods::LeftoverPods,
    namespace::Namespaces,
    node_health::NodeHealth,
    node_ranges::NodeRanges,
    plan::Planner,
    protection::{ClaimProtection, VolumeProtection},
    quota::Quotas,
    replicaset::ReplicaSets,
    scheduler::Scheduler,
};

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
pub fn planners(config: PlannerConfig) -> Vec<Box<dyn Planner>> {
    let api_service_ip = config
        .service_cidr
        .hosts()
        .next()
        .unwrap_or_else(|| config.service_cidr.addr());
    vec![
        Box::new(Builtin {
            api_service_ip,
            api_endpoint: config.api_endpoint,
            dns_ip: config.dns_ip,
        }),
        Box::new(NamespaceDefaults {
            root_ca: config.root_ca_pem,
        }),
        Box::new(ClusterRoles),
        Box::new(Quotas),
        Box::new(ClaimProtection),
        Box::new(VolumeProtection),
        Box::new(Namespaces),
        Box::new(Garbage),
        Box::new(NodeRanges {
            cluster_cidr: config.cluster_cidr,
            node_prefix_length: config.node_prefix_length,
        }),
        Box::new(NodeHealth {
            started: config.started,
            grace: config.node_grace,
        }),
        Box::new(Eviction),
        Box::new(LeftoverPods {
            started: config.started,
        }),
        Box::new(Deployments),
        Box::new(ReplicaSets),
        Box::new(Scheduler),
        Box::new(EndpointSlices),
    ]
}
