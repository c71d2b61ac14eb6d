//! Tests of the built-in objects: made in an empty cluster, made again, repaired.

use api::{
    Kind,
    k8s_openapi::api::{
        core::v1::{Namespace, Service},
        discovery::v1::EndpointSlice,
    },
};

use crate::simulation::{Cluster, assert_robust};

#[test]
fn an_empty_cluster_gets_what_every_cluster_has() {
    let cluster = Cluster::with_nodes(0);
    for namespace in super::NAMESPACES {
        assert!(cluster.find::<Namespace>("", namespace).is_some(), "{namespace}");
    }
    let address = |namespace: &str, name: &str| {
        let spec = cluster.get::<Service>(namespace, name).spec.clone().unwrap();
        let ports = spec.ports.unwrap().into_iter();
        (
            spec.cluster_ip.unwrap(),
            ports
                .map(|port| (port.name.unwrap(), port.protocol.unwrap(), port.port))
                .collect::<Vec<_>>(),
        )
    };
    let port = |name: &str, protocol: &str, number| (name.to_owned(), protocol.to_owned(), number);
    assert_eq!(
        address("default", "kubernetes"),
        ("10.43.0.1".to_owned(), vec![port("https", "TCP", 443)])
    );
    assert_eq!(
        address("kube-system", "kube-dns"),
        (
            "10.43.0.10".to_owned(),
            vec![port("dns", "UDP", 53), port("dns-tcp", "TCP", 53)]
        )
    );
    let slice = cluster.get::<EndpointSlice>("default", "kubernetes");
    assert_eq!(slice.endpoints.as_ref().unwrap()[0].addresses, ["192.0.2.1"]);
    assert_eq!(slice.ports.as_ref().unwrap()[0].port, Some(6443));
}

#[test]
fn what_is_deleted_or_wrong_is_put_right() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.delete(Kind::Service, "default", "kubernetes");
    cluster.delete(Kind::EndpointSlice, "default", "kubernetes");
    cluster.delete(Kind::Namespace, "", "kube-public");
    assert!(cluster.find::<Service>("default", "kubernetes").is_some());
    assert!(cluster.find::<Namespace>("", "kube-public").is_some());
    cluster.edit::<EndpointSlice>("default", "kubernetes", |slice| slice.endpoints = None);
    let slice = cluster.get::<EndpointSlice>("default", "kubernetes");
    assert_eq!(slice.endpoints.as_ref().unwrap().len(), 1);
}

#[test]
fn a_server_that_only_answers_on_its_own_machine_has_no_endpoint() {
    for (endpoint, count) in [("127.0.0.1:6443", 0), ("[::1]:6443", 0), ("192.0.2.1:6443", 1)] {
        let builtin = super::Builtin {
            api_service_ip: "10.43.0.1".parse().unwrap(),
            api_endpoint: endpoint.parse().unwrap(),
            dns_ip: "10.43.0.10".parse().unwrap(),
        };
        let endpoints = builtin.api_slice().endpoints.unwrap_or_default();
        assert_eq!(endpoints.len(), count, "{endpoint}");
    }
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.delete(Kind::Service, "kube-system", "kube-dns");
        cluster.delete(Kind::Namespace, "", "default");
    });
}
