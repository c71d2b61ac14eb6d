//! Which flow schema a request is of, which priority level that gives, and how many seats levels have. Pure: folds
//! versions of objects, answers questions.
//!
//! Schemas are asked in the order of their precedence, then of their names; one whose level is not there is passed
//! over. Source: `flowcontrol.apiserver.k8s.io/v1`; Kubernetes, "API Priority and Fairness".

use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
};

use serde::Deserialize;
use serde_json::Value;

use super::level::Overflow;
use crate::{
    auth::{AUTHENTICATED_GROUP, Caller, service_account_user},
    authorization::{Request, ResourceRequest},
};

const ALL: &str = "*";
/// What queues have where a level does not say.
const QUEUES: usize = 64;
const HAND: usize = 8;
const QUEUE_LENGTH: usize = 50;
/// Shares of a level that does not say.
const SHARES: u64 = 30;

/// How requests of one schema are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distinguisher {
    Nothing,
    User,
    Namespace,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rules {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<PathRule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    kind: String,
    user: Named,
    group: Named,
    service_account: Named,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Named {
    namespace: String,
    name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    cluster_scope: bool,
    namespaces: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PathRule {
    verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<String>,
}

#[derive(Debug, Clone)]
struct Schema {
    uid: String,
    level: String,
    precedence: i64,
    distinguisher: Distinguisher,
    rules: Vec<Rules>,
}

/// What a priority level says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LevelSpec {
    pub(super) uid: String,
    /// None: its requests are not limited.
    pub(super) limited: Option<Limited>,
}

/// A level whose requests share seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) shares: u64,
    pub(super) overflow: Overflow,
}

/// Where a request belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) schema: String,
    pub(super) schema_uid: String,
    pub(super) level: String,
    pub(super) level_uid: String,
    /// Hash of the schema and of what distinguishes its flows.
    pub(super) flow: u64,
}

/// All schemas and levels.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    schemas: BTreeMap<String, Schema>,
    levels: BTreeMap<String, LevelSpec>,
    /// Names of schemas in the order in which they are asked.
    order: Vec<String>,
}

impl Schemas {
    /// Takes a new version of a schema in, or its absence.
    pub(super) fn fold_schema(&mut self, name: &str, object: Option<&Value>) {
        match object.and_then(schema) {
            Some(schema) => self.schemas.insert(name.to_owned(), schema),
            None => self.schemas.remove(name),
        };
        let mut order: Vec<(i64, &String)> = self
            .schemas
            .iter()
            .map(|(name, schema)| (schema.precedence, name))
            .collect();
        order.sort();
        self.order = order.into_iter().map(|(_, name)| name.clone()).collect();
    }

    /// Takes a new version of a level in, or its absence.
    pub(super) fn fold_level(&mut self, name: &str, object: Option<&Value>) {
        match object {
            Some(object) => self.levels.insert(name.to_owned(), level(object)),
            None => self.levels.remove(name),
        };
    }

    /// Where a request belongs; nowhere if no schema fits, which happens only without the ones that every cluster has.
    pub(super) fn classify(&self, caller: &Caller, request: &Request) -> Option<Class> {
        self.order.iter().find_map(|name| {
            let schema = &self.schemas[name];
            let level = self.levels.get(&schema.level)?;
            let fits = schema.rules.iter().any(|rules| rules.fit(caller, request));
            fits.then(|| Class {
                schema: name.clone(),
                schema_uid: schema.uid.clone(),
                level: schema.level.clone(),
                level_uid: level.uid.clone(),
                flow: flow(name, schema.distinguisher, caller, request),
            })
        })
    }

    /// What a level says.
    pub(super) fn level(&self, name: &str) -> Option<&LevelSpec> {
        self.levels.get(name)
    }

    /// How many of `total` seats a level has: its part of all shares, rounded up.
    pub(super) fn seats(&self, limited: &Limited, total: usize) -> usize {
        let all = self.levels.values().filter_map(|level| level.limited.as_ref());
        let all: u64 = all.map(|limited| limited.shares).sum();
        let seats = (total as u64).saturating_mul(limited.shares).div_ceil(all.max(1));
        usize::try_from(seats).unwrap_or(total)
    }
}

fn flow(schema: &str, distinguisher: Distinguisher, caller: &Caller, request: &Request) -> u64 {
    let mut hasher = DefaultHasher::new();
    schema.hash(&mut hasher);
    match (distinguisher, request) {
        (Distinguisher::Nothing, _) | (Distinguisher::Namespace, Request::Path { .. }) => {}
        (Distinguisher::User, _) => caller.user.hash(&mut hasher),
        (Distinguisher::Namespace, Request::Resource(asked)) => asked.namespace.hash(&mut hasher),
    }
    hasher.finish()
}

fn schema(object: &Value) -> Option<Schema> {
    let spec = &object["spec"];
    Some(Schema {
        uid: object["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        level: spec["priorityLevelConfiguration"]["name"].as_str()?.to_owned(),
        precedence: spec["matchingPrecedence"].as_i64().unwrap_or(1000),
        distinguisher: match spec["distinguisherMethod"]["type"].as_str() {
            Some("ByUser") => Distinguisher::User,
            Some("ByNamespace") => Distinguisher::Namespace,
            _ => Distinguisher::Nothing,
        },
        rules: Vec::<Rules>::deserialize(&spec["rules"]).unwrap_or_default(),
    })
}

fn level(object: &Value) -> LevelSpec {
    let spec = &object["spec"];
    let number = |value: &Value, otherwise: usize| {
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.unwrap_or(otherwise)
    };
    let limited = (spec["type"] != "Exempt").then(|| {
        let limited = &spec["limited"];
        let response = &limited["limitResponse"];
        let queuing = &response["queuing"];
        let queues = number(&queuing["queues"], QUEUES).max(1);
        Limited {
            shares: limited["nominalConcurrencyShares"].as_u64().unwrap_or(SHARES),
            overflow: match response["type"].as_str() {
                Some("Queue") => Overflow::Queue {
                    queues,
                    hand: number(&queuing["handSize"], HAND).clamp(1, queues),
                    length_max: number(&queuing["queueLengthLimit"], QUEUE_LENGTH),
                },
                _ => Overflow::Reject,
            },
        }
    });
    LevelSpec {
        uid: object["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        limited,
    }
}

impl Rules {
    fn fit(&self, caller: &Caller, request: &Request) -> bool {
        let asked = match request {
            Request::Resource(asked) => self.resource_rules.iter().any(|rule| rule.fits(asked)),
            Request::Path { verb, path } => self
                .non_resource_rules
                .iter()
                .any(|rule| has(&rule.verbs, verb) && rule.urls.iter().any(|url| path_fits(url, path))),
        };
        asked && self.subjects.iter().any(|subject| subject.is(caller))
    }
}

impl Subject {
    fn is(&self, caller: &Caller) -> bool {
        match self.kind.as_str() {
            "User" => self.user.name == ALL || self.user.name == caller.user,
            "Group" => self.group.name == ALL || caller.groups.contains(&self.group.name),
            "ServiceAccount" => {
                let account = &self.service_account;
                if account.name == ALL {
                    let prefix = service_account_user(&account.namespace, "");
                    return caller.user.starts_with(&prefix)
                        && caller.groups.iter().any(|group| group == AUTHENTICATED_GROUP);
                }
                caller.user == service_account_user(&account.namespace, &account.name)
            }
            _ => false,
        }
    }
}

impl ResourceRule {
    fn fits(&self, asked: &ResourceRequest) -> bool {
        let place = match asked.namespace.as_str() {
            "" => self.cluster_scope,
            namespace => has(&self.namespaces, namespace),
        };
        place
            && has(&self.verbs, &asked.verb)
            && has(&self.api_groups, &asked.group)
            && has(&self.resources, &asked.path())
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == ALL || item == wanted)
}

fn path_fits(pattern: &str, path: &str) -> bool {
    pattern == ALL
        || pattern == path
        || pattern
            .strip_suffix("/*")
            .is_some_and(|parent| path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests;
