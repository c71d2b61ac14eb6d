//! What a CustomResourceDefinition's status should say: which of its names it has, and whether its kinds are served.
//!
//! ```text
//! names free                      NamesAccepted, Established
//! a name taken by another         not NamesAccepted; Established stays as it was
//! being deleted                   Terminating: InstanceDeletionPending, InstanceDeletionInProgress
//! ```
//!
//! Works on raw JSON: of a definition, only names and conditions matter here, and its schemas are large.
//! Source: `apiextensions-apiserver/pkg/controller/{status,establish,finalizer}`, by behaviour.

use std::collections::BTreeMap;

use api::Timestamp;
use serde_json::{Map, Value, json};

use crate::conditions::Conditions;

/// Keeps a definition until its objects are gone.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Names of kinds that only one definition of a group may have.
const UNIQUE_NAMES: [(&str, &str); 4] = [
    ("plural", "PluralConflict"),
    ("singular", "SingularConflict"),
    ("kind", "KindConflict"),
    ("listKind", "ListKindConflict"),
];

/// The status that the definition should have, if it has another. `others` are all definitions by name; `refusal` says
/// why its kinds cannot be served although their names are free.
#[must_use]
pub fn status(
    definition: &Value,
    others: &BTreeMap<String, Value>,
    refusal: Option<&str>,
    now: Timestamp,
) -> Option<Value> {
    let mut status = definition["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    let taken = taken(definition, others);
    let (accepted, conflict) = accepted(definition, &taken);
    status["acceptedNames"] = accepted;
    let mut conditions = Conditions::of(&mut status, now);
    match &conflict {
        None => conditions.set("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        Some((reason, message)) => conditions.set("NamesAccepted", "False", reason, message),
    }
    match (refusal, &conflict) {
        (Some(refusal), _) => conditions.set("Established", "False", "TooManyVersions", refusal),
        (None, None) => {
            let message = "the initial names have been accepted";
            conditions.set("Established", "True", "InitialNamesAccepted", message);
        }
        // Once established, a definition stays so: its objects are there.
        (None, Some(_)) if !conditions.has("Established", "True") => {
            conditions.set("Established", "False", "NotAccepted", "not all names are accepted");
        }
        (None, Some(_)) => {}
    }
    (status != definition["status"]).then_some(status)
}

/// The status of a definition that is being deleted, with this `Terminating` condition, if it has another.
#[must_use]
pub fn terminating(definition: &Value, reason: &str, message: &str, now: Timestamp) -> Option<Value> {
    let mut status = definition["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    Conditions::of(&mut status, now).set("Terminating", "True", reason, message);
    (status != definition["status"]).then_some(status)
}

/// The names that other definitions of the group have: of kinds, and of resources with their short names.
struct Taken<'a> {
    kinds: Vec<&'a str>,
    resources: Vec<&'a str>,
}

fn taken<'a>(definition: &Value, others: &'a BTreeMap<String, Value>) -> Taken<'a> {
    let mut taken = Taken {
        kinds: Vec::new(),
        resources: Vec::new(),
    };
    let own = definition["metadata"]["name"].as_str().unwrap_or_default();
    let same_group = others
        .iter()
        .filter(|(name, other)| *name != own && other["spec"]["group"] == definition["spec"]["group"]);
    for (_, other) in same_group {
        let names = &other["status"]["acceptedNames"];
        taken
            .kinds
            .extend(["kind", "listKind"].iter().filter_map(|field| names[*field].as_str()));
        taken
            .resources
            .extend(["plural", "singular"].iter().filter_map(|field| names[*field].as_str()));
        let short = names["shortNames"].as_array().into_iter().flatten();
        taken.resources.extend(short.filter_map(Value::as_str));
    }
    taken
}

/// The names that the definition gets, and the first that it does not. A name that it does not get stays what it was.
fn accepted(definition: &Value, taken: &Taken<'_>) -> (Value, Option<(&'static str, String)>) {
    let wanted = &definition["spec"]["names"];
    let before = &definition["status"]["acceptedNames"];
    let mut names = Map::new();
    let mut conflict = None;
    let mut refuse = |reason, name: &str| {
        conflict.get_or_insert((reason, format!("{name:?} is already in use")));
    };
    for (field, reason) in UNIQUE_NAMES {
        let name = wanted[field].as_str().unwrap_or_default();
        let rivals = match field {
            "kind" | "listKind" => &taken.kinds,
            _ => &taken.resources,
        };
        if !name.is_empty() && rivals.contains(&name) {
            refuse(reason, name);
            if let Some(kept) = before.get(field) {
                names.insert(field.to_owned(), kept.clone());
            }
        } else if !name.is_empty() {
            names.insert(field.to_owned(), json!(name));
        }
    }
    let short: Vec<&str> = wanted["shortNames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let rival = short.iter().find(|name| taken.resources.contains(name));
    match rival {
        Some(name) => {
            refuse("ShortNamesConflict", name);
            if let Some(kept) = before.get("shortNames") {
                names.insert("shortNames".to_owned(), kept.clone());
            }
        }
        None if !short.is_empty() => {
            names.insert("shortNames".to_owned(), json!(short));
        }
        None => {}
    }
    if let Some(categories) = wanted.get("categories") {
        names.insert("categories".to_owned(), categories.clone());
    }
    for field in ["kind", "plural"] {
        names.entry(field).or_insert_with(|| json!(""));
    }
    (Value::Object(names), conflict)
}

#[cfg(test)]
mod tests;
