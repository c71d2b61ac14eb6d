//! Tests of what every namespace is given.

use api::{
    Kind,
    k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount},
};
use serde_json::json;

use crate::simulation::{Cluster, assert_robust};

#[test]
fn every_namespace_has_a_service_account_and_the_root_certificate() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}}));
    for namespace in ["default", "kube-system", "work"] {
        assert!(
            cluster.find::<ServiceAccount>(namespace, "default").is_some(),
            "{namespace}"
        );
        let config = cluster.get::<ConfigMap>(namespace, "kube-root-ca.crt");
        assert_eq!(config.data.as_ref().unwrap()["ca.crt"], "-- ca --", "{namespace}");
    }
}

#[test]
fn they_come_back_and_are_repaired() {
    let mut cluster = Cluster::with_nodes(0);
    cluster.delete(Kind::ServiceAccount, "default", "default");
    assert!(cluster.find::<ServiceAccount>("default", "default").is_some());
    cluster.delete(Kind::ConfigMap, "default", "kube-root-ca.crt");
    cluster.edit::<ConfigMap>("kube-system", "kube-root-ca.crt", |config| config.data = None);
    for namespace in ["default", "kube-system"] {
        let config = cluster.get::<ConfigMap>(namespace, "kube-root-ca.crt");
        assert_eq!(config.data.as_ref().unwrap()["ca.crt"], "-- ca --", "{namespace}");
    }
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}}));
        cluster.delete(Kind::ServiceAccount, "work", "default");
        cluster.delete(Kind::ConfigMap, "work", "kube-root-ca.crt");
    });
}
