//! Versions of groups that other servers serve, in the documents of this one.

use serde_json::{Value, json};

use crate::resource::api_version;

/// A version of a group that another server serves.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteVersion {
    /// Never empty.
    pub group: String,
    /// For example `v1`.
    pub version: String,
    /// What it serves, in the aggregated form; nothing if it has not been heard from lately.
    pub resources: Option<Vec<Value>>,
}

impl RemoteVersion {
    fn entry(&self) -> Value {
        json!({ "groupVersion": api_version(&self.group, &self.version), "version": self.version })
    }
}

/// Adds them to an APIGroupList, those that rank first in front.
pub fn add_remote(list: &mut Value, remotes: &[RemoteVersion]) {
    let Some(groups) = list["groups"].as_array_mut() else {
        return;
    };
    for remote in remotes {
        match groups.iter_mut().find(|group| group["name"] == *remote.group) {
            Some(group) => add_version(group, remote),
            None => groups.push(group_of(remote)),
        }
    }
}

/// The APIGroup of this name, with what they add to it. `local` is what this server serves of it.
#[must_use]
pub fn remote_group(local: Option<Value>, name: &str, remotes: &[RemoteVersion]) -> Option<Value> {
    let mut group = local;
    for remote in remotes.iter().filter(|remote| remote.group == name) {
        match &mut group {
            Some(group) => add_version(group, remote),
            None => {
                let mut made = group_of(remote);
                made["kind"] = json!("APIGroup");
                made["apiVersion"] = json!("v1");
                group = Some(made);
            }
        }
    }
    group
}

fn group_of(remote: &RemoteVersion) -> Value {
    json!({ "name": remote.group, "versions": [remote.entry()], "preferredVersion": remote.entry() })
}

fn add_version(group: &mut Value, remote: &RemoteVersion) {
    let Some(versions) = group["versions"].as_array_mut() else {
        return;
    };
    if !versions.iter().any(|version| version["version"] == *remote.version) {
        versions.push(remote.entry());
    }
}

/// Adds them to an APIGroupDiscoveryList.
pub fn add_remote_aggregated(list: &mut Value, remotes: &[RemoteVersion]) {
    let Some(groups) = list["items"].as_array_mut() else {
        return;
    };
    for remote in remotes {
        let freshness = if remote.resources.is_some() { "Current" } else { "Stale" };
        let version = json!({
            "version": remote.version,
            "resources": remote.resources.as_deref().unwrap_or_default(),
            "freshness": freshness,
        });
        let known = groups
            .iter_mut()
            .find(|group| group["metadata"]["name"] == *remote.group);
        match known.and_then(|group| group["versions"].as_array_mut()) {
            // What another server serves, this one does not, whatever its own kinds are.
            Some(versions) => match versions.iter_mut().find(|known| known["version"] == *remote.version) {
                Some(known) => *known = version,
                None => versions.push(version),
            },
            None => groups.push(json!({
                "metadata": { "name": remote.group, "creationTimestamp": null },
                "versions": [version],
            })),
        }
    }
}

/// The resources of an APIResourceList in the aggregated form. A server may say anything: what is no resource is left
/// out.
#[must_use]
pub fn aggregated_resources(list: &Value) -> Vec<Value> {
    let group_version = list["groupVersion"].as_str().unwrap_or_default();
    let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
    let entries = || list["resources"].as_array().into_iter().flatten();
    let kind_of = |entry: &Value| {
        let of = |field: &str, default: &str| {
            let given = entry[field].as_str().filter(|given| !given.is_empty());
            given.unwrap_or(default).to_owned()
        };
        json!({ "group": of("group", group), "version": of("version", version), "kind": entry["kind"] })
    };
    let parts = |entry: &Value| -> Option<(String, Option<String>)> {
        let name = entry["name"].as_str()?;
        entry["kind"].as_str()?;
        entry["verbs"].as_array()?;
        Some(match name.split_once('/') {
            Some((plural, subresource)) => (plural.to_owned(), Some(subresource.to_owned())),
            None => (name.to_owned(), None),
        })
    };
    let mut resources: Vec<Value> = Vec::new();
    for entry in entries() {
        let Some((plural, None)) = parts(entry) else { continue };
        let scope = if entry["namespaced"] == true {
            "Namespaced"
        } else {
            "Cluster"
        };
        let mut resource = json!({
            "resource": plural,
            "responseKind": kind_of(entry),
            "scope": scope,
            "singularResource": entry["singularName"].as_str().unwrap_or_default(),
            "verbs": entry["verbs"],
        });
        for field in ["shortNames", "categories"] {
            if entry[field].is_array() {
                resource[field] = entry[field].clone();
            }
        }
        resources.push(resource);
    }
    for entry in entries() {
        let Some((plural, Some(subresource))) = parts(entry) else {
            continue;
        };
        let Some(resource) = resources.iter_mut().find(|known| known["resource"] == *plural) else {
            continue;
        };
        let part = json!({ "subresource": subresource, "responseKind": kind_of(entry), "verbs": entry["verbs"] });
        match resource["subresources"].as_array_mut() {
            Some(known) => known.push(part),
            None => resource["subresources"] = json!([part]),
        }
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(group: &str, version: &str, resources: Option<Vec<Value>>) -> RemoteVersion {
        RemoteVersion {
            group: group.to_owned(),
            version: version.to_owned(),
            resources,
        }
    }

    #[test]
    fn versions_of_others_stand_beside_our_own() {
        let own = json!({ "groupVersion": "a/v1", "version": "v1" });
        let mut list = json!({ "groups": [{ "name": "a", "versions": [own], "preferredVersion": own }] });
        let remotes = [
            remote("b", "v1", None),
            remote("a", "v2", None),
            remote("a", "v1", None),
        ];
        add_remote(&mut list, &remotes);
        let names = |group: &Value| -> Vec<String> {
            let versions = group["versions"].as_array().expect("versions");
            versions
                .iter()
                .map(|version| version["groupVersion"].to_string())
                .collect()
        };
        assert_eq!(names(&list["groups"][0]), ["\"a/v1\"", "\"a/v2\""]);
        assert_eq!(names(&list["groups"][1]), ["\"b/v1\""]);
        assert_eq!(list["groups"][0]["preferredVersion"], own);

        assert_eq!(remote_group(None, "b", &remotes).expect("b")["kind"], "APIGroup");
        assert_eq!(remote_group(None, "c", &remotes), None);
        let local = Some(list["groups"][0].clone());
        assert_eq!(names(&remote_group(local, "a", &remotes).expect("a")).len(), 2);
    }

    #[test]
    fn a_list_of_resources_becomes_the_aggregated_form() {
        let list = json!({
            "groupVersion": "wardle.example.com/v1alpha1",
            "resources": [
                { "name": "flunders/status", "kind": "Flunder", "namespaced": true, "verbs": ["get"] },
                {
                    "name": "flunders", "singularName": "flunder", "kind": "Flunder", "namespaced": true,
                    "verbs": ["get", "list"], "shortNames": ["fl"],
                },
                { "name": "fischers", "kind": "Fischer", "verbs": ["get"] },
                { "name": "lost/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": [] },
                { "name": 7 },
                "nothing",
            ],
        });
        let kind = json!({ "group": "wardle.example.com", "version": "v1alpha1", "kind": "Flunder" });
        let resources = aggregated_resources(&list);
        assert_eq!(resources.len(), 2);
        assert_eq!(
            resources[0],
            json!({
                "resource": "flunders", "responseKind": kind, "scope": "Namespaced", "singularResource": "flunder",
                "verbs": ["get", "list"], "shortNames": ["fl"],
                "subresources": [{ "subresource": "status", "responseKind": kind, "verbs": ["get"] }],
            })
        );
        assert_eq!(
            (&resources[1]["scope"], &resources[1]["subresources"]),
            (&json!("Cluster"), &Value::Null)
        );

        let mut document = json!({ "items": [] });
        let remotes = [
            remote("wardle.example.com", "v1alpha1", Some(resources)),
            remote("wardle.example.com", "v1beta1", None),
        ];
        add_remote_aggregated(&mut document, &remotes);
        let versions = &document["items"][0]["versions"];
        assert_eq!(
            (&versions[0]["freshness"], &versions[1]["freshness"]),
            (&json!("Current"), &json!("Stale"))
        );
        assert_eq!(versions[0]["resources"][0]["resource"], "flunders");
    }
}
