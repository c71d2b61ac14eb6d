//! The rows of `networking.k8s.io`.

use super::{ROW, status};
use crate::{object::Scope, resource::Resource};

const GROUP: &str = "networking.k8s.io";
const INGRESS: &str = "io.k8s.api.networking.v1.Ingress";
const SERVICE_CIDR: &str = "io.k8s.api.networking.v1.ServiceCIDR";

pub(super) const ROWS: &[Resource] = &[
    Resource {
        group: GROUP,
        plural: "ingressclasses",
        singular: "ingressclass",
        kind: "IngressClass",
        scope: Scope::Cluster,
        definition: "io.k8s.api.networking.v1.IngressClass",
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "ingresses",
        singular: "ingress",
        kind: "Ingress",
        short_names: &["ing"],
        subresources: &[status(GROUP, "v1", "Ingress", INGRESS)],
        definition: INGRESS,
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "ipaddresses",
        singular: "ipaddress",
        kind: "IPAddress",
        short_names: &["ip"],
        scope: Scope::Cluster,
        definition: "io.k8s.api.networking.v1.IPAddress",
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "networkpolicies",
        singular: "networkpolicy",
        kind: "NetworkPolicy",
        short_names: &["netpol"],
        definition: "io.k8s.api.networking.v1.NetworkPolicy",
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "servicecidrs",
        singular: "servicecidr",
        kind: "ServiceCIDR",
        scope: Scope::Cluster,
        subresources: &[status(GROUP, "v1", "ServiceCIDR", SERVICE_CIDR)],
        definition: SERVICE_CIDR,
        ..ROW
    },
];
