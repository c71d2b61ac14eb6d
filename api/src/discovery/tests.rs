//! What clients read from the discovery documents.

use serde_json::{Value, json};

use super::{aggregated_core, aggregated_groups, core_versions, group, group_list, resource_list};

fn find<'a>(list: &'a Value, field: &str, name: &str) -> &'a Value {
    list.as_array()
        .unwrap()
        .iter()
        .find(|entry| entry[field] == name)
        .unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn the_core_version_is_listed_with_the_address() {
    let versions = core_versions("10.0.0.1:6443");
    assert_eq!(versions["versions"], json!(["v1"]));
    assert_eq!(
        versions["serverAddressByClientCIDRs"][0]["serverAddress"],
        "10.0.0.1:6443"
    );
}

#[test]
fn groups_name_their_versions_and_the_core_group_is_not_among_them() {
    let list = group_list();
    let names: Vec<&str> = list["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "apps",
            "authentication.k8s.io",
            "authorization.k8s.io",
            "coordination.k8s.io",
            "discovery.k8s.io",
            "rbac.authorization.k8s.io"
        ]
    );
    let apps = group("apps").unwrap();
    assert_eq!(
        apps["preferredVersion"],
        json!({"groupVersion": "apps/v1", "version": "v1"})
    );
    assert_eq!(apps["kind"], "APIGroup");
    assert_eq!(group(""), None);
    assert_eq!(group("batch"), None);
}

#[test]
fn resource_lists_hold_kinds_and_subresources() {
    let core = resource_list("", "v1").unwrap();
    assert_eq!(core["groupVersion"], "v1");
    let pods = find(&core["resources"], "name", "pods");
    assert_eq!(pods["shortNames"], json!(["po"]));
    assert_eq!(pods["namespaced"], true);
    assert_eq!(find(&core["resources"], "name", "nodes")["namespaced"], false);
    let apps = resource_list("apps", "v1").unwrap();
    let scale = find(&apps["resources"], "name", "deployments/scale");
    assert_eq!(scale["group"], "autoscaling");
    assert_eq!(scale["kind"], "Scale");
    assert_eq!(resource_list("apps", "v1beta1"), None);
}

#[test]
fn the_aggregated_form_nests_subresources() {
    let core = aggregated_core();
    assert_eq!(core["apiVersion"], "apidiscovery.k8s.io/v2");
    let pods = find(&core["items"][0]["versions"][0]["resources"], "resource", "pods");
    assert_eq!(
        pods["responseKind"],
        json!({"group": "", "version": "v1", "kind": "Pod"})
    );
    assert_eq!(
        find(&pods["subresources"], "subresource", "status")["verbs"],
        json!(["get", "patch", "update"])
    );
    let groups = aggregated_groups();
    assert_eq!(groups["items"][0]["metadata"]["name"], "apps");
}
