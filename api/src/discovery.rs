//! Discovery documents, from the kinds that are served: the legacy lists and the aggregated form.
//!
//! Never here: ETags and content negotiation, which belong to the server.
//! Source: API concepts ("Discovery API"), `apidiscovery.k8s.io/v2`.

mod remote;

use serde_json::{Value, json};

pub use self::remote::{RemoteVersion, add_remote, add_remote_aggregated, aggregated_resources, remote_group};
use crate::{
    object::Scope,
    resource::{Kinds, Resource, Subresource, api_version},
};

/// `GET /api`. `address` is the `ip:port` that clients inside the cluster may use.
#[must_use]
pub fn core_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": address }],
    })
}

/// `GET /apis`: the groups other than the core one.
#[must_use]
pub fn group_list(kinds: &Kinds) -> Value {
    let groups: Vec<Value> = named_groups(kinds).map(|group| group_entry(kinds, group)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `GET /apis/{group}`; `None` for a group that is not served.
#[must_use]
pub fn group(kinds: &Kinds, name: &str) -> Option<Value> {
    let name = named_groups(kinds).find(|group| *group == name)?;
    let mut entry = group_entry(kinds, name);
    entry["kind"] = json!("APIGroup");
    entry["apiVersion"] = json!("v1");
    Some(entry)
}

/// `GET /api/{version}` (empty group) or `GET /apis/{group}/{version}`; `None` when that is not served.
#[must_use]
pub fn resource_list(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for row in kinds.of(group, version) {
        list.push(legacy_resource(row));
        list.extend(row.subresources.iter().map(|sub| legacy_subresource(row, sub)));
    }
    if list.is_empty() {
        return None;
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version(group, version),
        "resources": list,
    }))
}

/// `GET /api` in the aggregated form.
#[must_use]
pub fn aggregated_core(kinds: &Kinds) -> Value {
    aggregated_list(vec![aggregated_group(kinds, "")])
}

/// `GET /apis` in the aggregated form.
#[must_use]
pub fn aggregated_groups(kinds: &Kinds) -> Value {
    aggregated_list(
        named_groups(kinds)
            .map(|group| aggregated_group(kinds, group))
            .collect(),
    )
}

fn aggregated_list(items: Vec<Value>) -> Value {
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(kinds: &Kinds, group: &str) -> Value {
    let versions: Vec<Value> = kinds
        .versions(group)
        .into_iter()
        .map(|version| {
            let resources: Vec<Value> = kinds.of(group, version).map(aggregated_resource).collect();
            json!({ "version": version, "resources": resources, "freshness": "Current" })
        })
        .collect();
    let metadata = if group.is_empty() {
        json!({ "creationTimestamp": null })
    } else {
        json!({ "name": group, "creationTimestamp": null })
    };
    json!({ "metadata": metadata, "versions": versions })
}

fn aggregated_resource(row: &Resource) -> Value {
    let scope = match row.scope {
        Scope::Namespaced => "Namespaced",
        Scope::Cluster => "Cluster",
    };
    let mut entry = json!({
        "resource": row.plural,
        "responseKind": { "group": row.group, "version": row.version, "kind": row.kind },
        "scope": scope,
        "singularResource": row.singular,
        "verbs": row.verbs,
    });
    if !row.short_names.is_empty() {
        entry["shortNames"] = json!(row.short_names);
    }
    if !row.categories.is_empty() {
        entry["categories"] = json!(row.categories);
    }
    if !row.subresources.is_empty() {
        let subresources: Vec<Value> = row
            .subresources
            .iter()
            .map(|sub| {
                json!({
                    "subresource": sub.name,
                    "responseKind": { "group": sub.group, "version": sub.version, "kind": sub.kind },
                    "verbs": sub.verbs,
                })
            })
            .collect();
        entry["subresources"] = json!(subresources);
    }
    entry
}

fn legacy_resource(row: &Resource) -> Value {
    let mut entry = json!({
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.is_namespaced(),
        "kind": row.kind,
        "verbs": row.verbs,
    });
    if !row.short_names.is_empty() {
        entry["shortNames"] = json!(row.short_names);
    }
    if !row.categories.is_empty() {
        entry["categories"] = json!(row.categories);
    }
    entry
}

fn legacy_subresource(row: &Resource, sub: &Subresource) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", row.plural, sub.name),
        "singularName": "",
        "namespaced": row.is_namespaced(),
        "kind": sub.kind,
        "verbs": sub.verbs,
    });
    if (sub.group, sub.version) != (row.group, row.version) {
        entry["group"] = json!(sub.group);
        entry["version"] = json!(sub.version);
    }
    entry
}

fn group_entry(kinds: &Kinds, group: &str) -> Value {
    let versions: Vec<Value> = kinds
        .versions(group)
        .into_iter()
        .map(|version| json!({ "groupVersion": api_version(group, version), "version": version }))
        .collect();
    let preferred = versions.first().cloned();
    json!({ "name": group, "versions": versions, "preferredVersion": preferred })
}

/// The groups other than the core one.
fn named_groups(kinds: &Kinds) -> impl Iterator<Item = &'static str> {
    kinds.groups().into_iter().filter(|group| !group.is_empty())
}

#[cfg(test)]
mod tests;
