//! What clients read from the discovery documents.

use serde_json::{Value, json};

use super::{aggregated_core, aggregated_groups, core_versions, group, group_list, resource_list};
use crate::resource::Kinds;

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
    let list = group_list(&Kinds::builtin());
    let names: Vec<&str> = list["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["name"].as_str().unwrap())
        .collect();
    assert!(names.is_sorted(), "{names:?}");
    assert!(names.contains(&"apps") && names.contains(&"policy"), "{names:?}");
    assert!(!names.contains(&""), "{names:?}");
    let apps = group(&Kinds::builtin(), "apps").unwrap();
    assert_eq!(
        apps["preferredVersion"],
        json!({"groupVersion": "apps/v1", "version": "v1"})
    );
    assert_eq!(apps["kind"], "APIGroup");
    assert_eq!(group(&Kinds::builtin(), ""), None);
    assert_eq!(group(&Kinds::builtin(), "example.com"), None);
    let autoscaling = group(&Kinds::builtin(), "autoscaling").unwrap();
    assert_eq!(autoscaling["preferredVersion"]["version"], "v2");
    assert_eq!(autoscaling["versions"][1]["version"], "v1");
}

#[test]
fn resource_lists_hold_kinds_and_subresources() {
    let core = resource_list(&Kinds::builtin(), "", "v1").unwrap();
    assert_eq!(core["groupVersion"], "v1");
    let pods = find(&core["resources"], "name", "pods");
    assert_eq!(pods["shortNames"], json!(["po"]));
    assert_eq!(pods["namespaced"], true);
    assert_eq!(find(&core["resources"], "name", "nodes")["namespaced"], false);
    let apps = resource_list(&Kinds::builtin(), "apps", "v1").unwrap();
    let scale = find(&apps["resources"], "name", "deployments/scale");
    assert_eq!(scale["group"], "autoscaling");
    assert_eq!(scale["kind"], "Scale");
    assert_eq!(resource_list(&Kinds::builtin(), "apps", "v1beta1"), None);
}

#[test]
fn the_aggregated_form_nests_subresources() {
    let core = aggregated_core(&Kinds::builtin());
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
    let groups = aggregated_groups(&Kinds::builtin());
    let apps = groups["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|group| group["metadata"]["name"] == "apps");
    assert_eq!(apps.unwrap()["versions"][0]["version"], "v1");
}
