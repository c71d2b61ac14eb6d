//! The roles and bindings that every cluster has, and how those in the store are brought to them. Pure.
//!
//! What an administrator has added stays; what is missing comes back at the next start, unless the object says
//! `rbac.authorization.kubernetes.io/autoupdate: "false"`.
//! Source: Kubernetes, "Using RBAC Authorization": "Default roles and role bindings", "Auto-reconciliation".

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::index::rules_of;
use super::rule::missing;

const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const BOOTSTRAPPING_LABEL: &str = "kubernetes.io/bootstrapping";
static DEFAULTS: &str = include_str!("../../rbac/defaults.yaml");
static CONTROLLERS: &str = include_str!("../../rbac/controllers.yaml");

/// One of the objects that every cluster has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DefaultObject {
    /// `clusterroles`, …
    pub(crate) plural: &'static str,
    /// Empty for cluster scope.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// With what marks it as a default.
    pub(crate) object: Value,
}

/// What is to be done about a default.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Repair {
    /// It is as it should be, or is not to be touched.
    Nothing,
    /// Replace it.
    Update(Value),
    /// It gives another role, which cannot be changed: delete it and make it anew.
    Recreate,
}

/// All of them, roles before bindings.
pub(crate) fn default_objects() -> Vec<DefaultObject> {
    let objects: Vec<Value> = serde_yaml_ng::from_str(DEFAULTS).expect("the built-in roles are a list in YAML");
    let controllers: BTreeMap<String, Value> =
        serde_yaml_ng::from_str(CONTROLLERS).expect("the roles of controllers are a map in YAML");
    let (roles, bindings): (Vec<Value>, Vec<Value>) =
        controllers.iter().map(|(name, rules)| controller(name, rules)).unzip();
    [roles, objects, bindings]
        .into_iter()
        .flatten()
        .map(default_object)
        .collect()
}

/// The role of a controller, and the binding that gives it to the controller's service account.
fn controller(account: &str, rules: &Value) -> (Value, Value) {
    let name = format!("system:controller:{account}");
    let role = json!({ "kind": "ClusterRole", "metadata": { "name": name }, "rules": rules });
    let binding = json!({
        "kind": "ClusterRoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name },
        "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": "kube-system" }],
    });
    (role, binding)
}

fn default_object(mut object: Value) -> DefaultObject {
    object["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
    object["metadata"]["annotations"][AUTO_UPDATE] = json!("true");
    object["metadata"]["labels"][BOOTSTRAPPING_LABEL] = json!("rbac-defaults");
    let plural = match object["kind"].as_str() {
        Some("ClusterRole") => "clusterroles",
        Some("Role") => "roles",
        Some("RoleBinding") => "rolebindings",
        _ => "clusterrolebindings",
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    DefaultObject {
        plural,
        namespace: text(&object["metadata"]["namespace"]),
        name: text(&object["metadata"]["name"]),
        object,
    }
}

/// How the object that is there comes to hold all that the default does.
pub(crate) fn reconcile(present: &Value, default: &Value) -> Repair {
    if present["metadata"]["annotations"][AUTO_UPDATE] == "false" {
        return Repair::Nothing;
    }
    let mut repaired = present.clone();
    for field in ["annotations", "labels"] {
        for (name, value) in default["metadata"][field].as_object().into_iter().flatten() {
            repaired["metadata"][field][name] = value.clone();
        }
    }
    if default["roleRef"].is_object() {
        let same = |field: &str| present["roleRef"][field] == default["roleRef"][field];
        if !(same("kind") && same("name")) {
            return Repair::Recreate;
        }
        add_missing(&mut repaired, default, "subjects", |present, wanted| {
            ["kind", "name", "namespace"]
                .iter()
                .all(|field| present[field] == wanted[field])
        });
    } else if default["aggregationRule"].is_object() {
        // Its rules are what others give it.
        if present["aggregationRule"].is_null() {
            repaired["aggregationRule"] = default["aggregationRule"].clone();
        }
    } else {
        let owned = rules_of(present);
        let lacking: Vec<Value> = items(default, "rules")
            .filter(|rule| !missing(&owned, &rules_of(&json!({ "rules": [rule] }))).is_empty())
            .cloned()
            .collect();
        append(&mut repaired, "rules", lacking);
    }
    if repaired == *present {
        return Repair::Nothing;
    }
    Repair::Update(repaired)
}

fn items<'a>(object: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    object[field].as_array().into_iter().flatten()
}

fn add_missing(object: &mut Value, default: &Value, field: &str, same: fn(&Value, &Value) -> bool) {
    let lacking: Vec<Value> = items(default, field)
        .filter(|wanted| !items(object, field).any(|present| same(present, wanted)))
        .cloned()
        .collect();
    append(object, field, lacking);
}

fn append(object: &mut Value, field: &str, more: Vec<Value>) {
    if more.is_empty() {
        return;
    }
    match object[field].as_array_mut() {
        Some(list) => list.extend(more),
        None => object[field] = json!(more),
    }
}

#[cfg(test)]
mod tests;
