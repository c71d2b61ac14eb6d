//! One rule of a role: what it allows, and whether rules give at least what others give. Pure.
//!
//! Source: Kubernetes, "Using RBAC Authorization"; `rbac.authorization.k8s.io/v1` PolicyRule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::request::{Request, ResourceRequest};

const ALL: &str = "*";

/// What may be done with what.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    /// For example `get`; `*` is all.
    #[serde(deserialize_with = "list")]
    pub(crate) verbs: Vec<String>,
    /// Empty text is the core group.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub(crate) api_groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, `*`.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub(crate) resources: Vec<String>,
    /// Without any, all names.
    #[serde(deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub(crate) resource_names: Vec<String>,
    /// Paths, or beginnings of paths before `*`.
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "list",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) urls: Vec<String>,
}

/// A list that may be null.
fn list<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default())
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == wanted)
}

fn has_or_all(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == ALL || item == wanted)
}

impl Rule {
    /// Everything with every object.
    pub(crate) fn every_resource() -> Rule {
        let all = || vec![ALL.to_owned()];
        Rule {
            verbs: all(),
            api_groups: all(),
            resources: all(),
            ..Rule::default()
        }
    }

    /// Everything with every path.
    pub(crate) fn every_path() -> Rule {
        let all = || vec![ALL.to_owned()];
        Rule {
            verbs: all(),
            urls: all(),
            ..Rule::default()
        }
    }

    /// Whether the rule allows this.
    pub(crate) fn allows(&self, request: &Request) -> bool {
        match request {
            Request::Path { verb, path } => {
                has_or_all(&self.verbs, verb) && self.urls.iter().any(|url| url_matches(url, path))
            }
            Request::Resource(request) => self.allows_resource(request),
        }
    }

    fn allows_resource(&self, request: &ResourceRequest) -> bool {
        has_or_all(&self.verbs, &request.verb)
            && has_or_all(&self.api_groups, &request.group)
            && resource_matches(&self.resources, request)
            && (self.resource_names.is_empty() || has(&self.resource_names, &request.name))
    }

    /// Whether this rule alone allows all that `part`, one of [`parts`], allows.
    fn covers(&self, part: &Rule) -> bool {
        let all_of = |own: &[String], wanted: &[String]| has(own, ALL) || wanted.iter().all(|item| has(own, item));
        if !all_of(&self.verbs, &part.verbs) {
            return false;
        }
        if !part.urls.is_empty() {
            return part
                .urls
                .iter()
                .all(|wanted| self.urls.iter().any(|own| url_matches(own, wanted)));
        }
        let names = self.resource_names.is_empty()
            || (!part.resource_names.is_empty()
                && part.resource_names.iter().all(|name| has(&self.resource_names, name)));
        let resource = |wanted: &String| {
            has_or_all(&self.resources, wanted)
                || wanted
                    .split_once('/')
                    .is_some_and(|(_, subresource)| has(&self.resources, &format!("*/{subresource}")))
        };
        all_of(&self.api_groups, &part.api_groups) && part.resources.iter().all(resource) && names
    }

    /// The rule in one line, as Kubernetes' messages show it.
    fn line(&self) -> String {
        let parts: Vec<String> = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| format!("{name}:{}", quoted(list)))
        .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

/// `["a" "b"]`
pub(super) fn quoted(list: &[String]) -> String {
    let items: Vec<String> = list.iter().map(|item| format!("{item:?}")).collect();
    format!("[{}]", items.join(" "))
}

fn url_matches(pattern: &str, path: &str) -> bool {
    pattern == ALL
        || pattern == path
        || pattern
            .strip_suffix('*')
            .is_some_and(|beginning| path.starts_with(beginning))
}

fn resource_matches(resources: &[String], request: &ResourceRequest) -> bool {
    resources.iter().any(|resource| {
        resource == ALL
            || match resource.split_once('/') {
                None => request.subresource.is_empty() && *resource == request.resource,
                Some((_, "")) | Some(("", _)) => false,
                Some((of, subresource)) => subresource == request.subresource && (of == ALL || of == request.resource),
            }
    })
}

/// What `wanted` allows and `owned` does not, a line for each, sorted; empty if nothing.
pub(super) fn missing(owned: &[Rule], wanted: &[Rule]) -> Vec<String> {
    let missing: Vec<Rule> = wanted
        .iter()
        .flat_map(parts)
        .filter(|part| !owned.iter().any(|rule| rule.covers(part)))
        .collect();
    let mut lines: Vec<String> = compact(missing).iter().map(Rule::line).collect();
    lines.sort();
    lines.dedup();
    lines
}

/// A rule as rules of one verb, group, resource and name, or one verb and path, each.
fn parts(rule: &Rule) -> Vec<Rule> {
    let mut parts = Vec::new();
    let one = |text: &String| vec![text.clone()];
    for verb in &rule.verbs {
        for url in &rule.urls {
            parts.push(Rule {
                verbs: one(verb),
                urls: one(url),
                ..Rule::default()
            });
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                let part = Rule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                if rule.resource_names.is_empty() {
                    parts.push(part);
                    continue;
                }
                parts.extend(rule.resource_names.iter().map(|name| Rule {
                    resource_names: one(name),
                    ..part.clone()
                }));
            }
        }
    }
    parts
}

/// Parts that differ in nothing but their verb, joined.
fn compact(parts: Vec<Rule>) -> Vec<Rule> {
    let mut joined: BTreeMap<Rule, Vec<String>> = BTreeMap::new();
    for mut part in parts {
        let verbs = std::mem::take(&mut part.verbs);
        let known = joined.entry(part).or_default();
        for verb in verbs {
            if !has(known, &verb) {
                known.push(verb);
            }
        }
    }
    let rules = joined.into_iter().map(|(rule, verbs)| Rule { verbs, ..rule });
    rules.collect()
}

#[cfg(test)]
mod tests;
