//! Which kinds the server has, and how a person may name them.
//!
//! Source: Kubernetes API discovery, aggregated (apidiscovery.k8s.io/v2) and, for servers without it, by group.

use anyhow::{Context, bail};
use serde_json::Value;

use super::{Connection, object};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// One kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceType {
    /// "" for the core group.
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
}

impl ResourceType {
    /// "pod", "deployment.apps": how kubectl names an object it changed.
    pub(crate) fn singular_with_group(&self) -> String {
        if self.group.is_empty() {
            self.singular.clone()
        } else {
            format!("{}.{}", self.singular, self.group)
        }
    }

    /// "v1", "apps/v1".
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// All kinds, the preferred version of a group before its others.
#[derive(Debug, Clone)]
pub(crate) struct Discovery {
    types: Vec<ResourceType>,
}

impl Discovery {
    /// Asks the server.
    pub(crate) async fn load(connection: &Connection) -> anyhow::Result<Self> {
        let mut types = Vec::new();
        for root in ["/api", "/apis"] {
            let answer = connection.get_as(root, AGGREGATED).await?;
            if answer["kind"] == "APIGroupDiscoveryList" {
                types.extend(from_aggregated(&answer));
            } else {
                types.extend(from_groups(connection, root, &answer).await?);
            }
        }
        Ok(Self { types })
    }

    #[cfg(test)]
    pub(crate) fn of(types: Vec<ResourceType>) -> Self {
        Self { types }
    }

    /// The kind an object says it is of.
    pub(crate) fn of_object(&self, object: &Value) -> anyhow::Result<&ResourceType> {
        let kind = object["kind"].as_str().unwrap_or_default();
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        if kind.is_empty() || api_version.is_empty() {
            bail!("an object needs both `apiVersion` and `kind`");
        }
        self.types
            .iter()
            .find(|candidate| candidate.kind == kind && candidate.api_version() == api_version)
            .with_context(|| {
                let elsewhere: Vec<String> = self
                    .types
                    .iter()
                    .filter(|candidate| candidate.kind == kind)
                    .map(ResourceType::api_version)
                    .collect();
                let hint = if elsewhere.is_empty() {
                    "the server does not have it (`kubectl api-resources` lists what it has)".to_owned()
                } else {
                    format!("the server has {kind} in {}", elsewhere.join(", "))
                };
                format!("no matches for kind {kind:?} in version {api_version:?}: {hint}")
            })
    }

    /// The kind of a reference such as `pods`, `po`, `deployment.apps` or `deployments.v1.apps`.
    pub(crate) fn named(&self, text: &str) -> anyhow::Result<&ResourceType> {
        let lower = text.to_lowercase();
        let (name, qualifier) = lower
            .split_once('.')
            .map_or((lower.as_str(), None), |(name, rest)| (name, Some(rest)));
        let is_named = |candidate: &&ResourceType| {
            candidate.plural == name
                || candidate.singular == name
                || candidate.kind.to_lowercase() == name
                || candidate.short_names.iter().any(|short| short == name)
        };
        let is_qualified = |candidate: &&ResourceType| match qualifier {
            None => true,
            Some(qualifier) => {
                qualifier == candidate.group || qualifier == format!("{}.{}", candidate.version, candidate.group)
            }
        };
        self.types.iter().filter(is_named).find(is_qualified).with_context(|| {
            let close = self
                .closest(name)
                .map(|close| format!("; did you mean {close:?}?"))
                .unwrap_or_default();
            format!("the server doesn't have a resource type {text:?}{close}")
        })
    }

    /// The kinds of a category such as `all`.
    pub(crate) fn in_category(&self, category: &str) -> Vec<&ResourceType> {
        self.types
            .iter()
            .filter(|candidate| candidate.categories.iter().any(|name| name == category))
            .collect()
    }

    /// A name of which most letters are those of the given one: at most two are off, and fewer in a short name.
    fn closest(&self, name: &str) -> Option<&str> {
        const LETTERS_OFF_MAX: usize = 2;
        /// One slip in so many letters; a short word with more slips is another word.
        const LETTERS_OF_A_SLIP: usize = 3;
        let off_max = (name.chars().count() / LETTERS_OF_A_SLIP).min(LETTERS_OFF_MAX);
        let names = self
            .types
            .iter()
            .flat_map(|candidate| [candidate.plural.as_str(), candidate.singular.as_str()]);
        names
            .map(|candidate| (letters_off(candidate, name), candidate))
            .filter(|(off, _)| *off <= off_max)
            .min()
            .map(|(_, candidate)| candidate)
    }
}

/// Letters to insert, remove or replace to make one word of the other.
fn letters_off(one: &str, two: &str) -> usize {
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for column in 0..two.len() {
            let replaced = diagonal + usize::from(two[column] != letter);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[two.len()]
}

fn texts(value: &Value) -> Vec<String> {
    object::items(value).iter().map(object::text).collect()
}

fn from_aggregated(list: &Value) -> Vec<ResourceType> {
    let mut types = Vec::new();
    for group in object::items(&list["items"]) {
        for version in object::items(&group["versions"]) {
            for resource in object::items(&version["resources"]) {
                types.push(ResourceType {
                    group: object::name(group).to_owned(),
                    version: object::text(&version["version"]),
                    plural: object::text(&resource["resource"]),
                    singular: object::text(&resource["singularResource"]),
                    kind: object::text(&resource["responseKind"]["kind"]),
                    short_names: texts(&resource["shortNames"]),
                    categories: texts(&resource["categories"]),
                    namespaced: resource["scope"] == "Namespaced",
                });
            }
        }
    }
    types
}

async fn from_groups(connection: &Connection, root: &str, answer: &Value) -> anyhow::Result<Vec<ResourceType>> {
    let group_versions: Vec<String> = if root == "/api" {
        texts(&answer["versions"])
    } else {
        let versions = |group: &Value| {
            object::items(&group["versions"])
                .iter()
                .map(|version| object::text(&version["groupVersion"]))
                .collect::<Vec<_>>()
        };
        object::items(&answer["groups"]).iter().flat_map(versions).collect()
    };
    let mut types = Vec::new();
    for group_version in group_versions {
        let list = connection.get_json(&format!("{root}/{group_version}")).await?;
        let (group, version) = group_version.split_once('/').unwrap_or(("", &group_version));
        for resource in object::items(&list["resources"]) {
            let plural = object::text(&resource["name"]);
            if plural.contains('/') {
                continue; // A subresource.
            }
            let kind = object::text(&resource["kind"]);
            let singular = object::text(&resource["singularName"]);
            types.push(ResourceType {
                group: group.to_owned(),
                version: version.to_owned(),
                singular: if singular.is_empty() {
                    kind.to_lowercase()
                } else {
                    singular
                },
                plural,
                kind,
                short_names: texts(&resource["shortNames"]),
                categories: texts(&resource["categories"]),
                namespaced: resource["namespaced"] == true,
            });
        }
    }
    Ok(types)
}

#[cfg(test)]
pub(crate) mod tests;
