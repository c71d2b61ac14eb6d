//! Whether a write of a role or binding gives more than the writer has. Pure.
//!
//! Source: Kubernetes, "Using RBAC Authorization": "Privilege escalation prevention and bootstrapping".

use serde_json::Value;

use super::{
    index::{Index, RoleKey, rules_of},
    request::{Request, ResourceRequest},
    rule::{missing, quoted},
};
use crate::auth::Caller;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Why a role or binding may not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It gives more than its writer has; the sentence for the client.
    Widens(String),
    /// The role that it gives is not there.
    NoRole(RoleKey),
}

/// Whether the new version may give more than the old one did.
pub(super) fn widens(kind: &str, old: Option<&Value>, new: &Value) -> bool {
    let fields: &[&str] = match kind {
        "Role" | "ClusterRole" => &["rules", "aggregationRule"],
        "RoleBinding" | "ClusterRoleBinding" => &["roleRef", "subjects"],
        _ => return false,
    };
    match old {
        None => true,
        Some(old) => fields.iter().any(|field| old[field] != new[field]),
    }
}

/// What the caller must not do, if this is it.
pub(super) fn escalation(index: &Index, caller: &Caller, kind: &str, new: &Value) -> Option<Refusal> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = text(&new["metadata"]["namespace"]);
    let may = |verb: &str, resource: &str, name: String| {
        let request = Request::Resource(ResourceRequest {
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            resource: resource.to_owned(),
            namespace: namespace.clone(),
            name,
            ..ResourceRequest::default()
        });
        index.decide(caller, &request).allowed
    };
    let name = text(&new["metadata"]["name"]);
    let wanted = match kind {
        "Role" if may("escalate", "roles", name.clone()) => return None,
        "ClusterRole" if may("escalate", "clusterroles", name.clone()) => return None,
        "ClusterRole" if new["aggregationRule"].is_object() => {
            // What it will hold is not known: only who may do everything may ask for it.
            let everything = [super::Rule::every_resource(), super::Rule::every_path()];
            let (owned, _) = index.rules(caller, "");
            return (!missing(&owned, &everything).is_empty())
                .then(|| Refusal::Widens("must have cluster-admin privileges to use the aggregationRule".to_owned()));
        }
        "Role" | "ClusterRole" => rules_of(new),
        _ => {
            let role = text(&new["roleRef"]["name"]);
            let (resource, home) = match new["roleRef"]["kind"].as_str() {
                Some("Role") => ("roles", namespace.clone()),
                _ => ("clusterroles", String::new()),
            };
            if may("bind", resource, role.clone()) {
                return None;
            }
            let key = RoleKey {
                namespace: home,
                name: role,
            };
            match index.role(&key) {
                Ok(rules) => rules.to_vec(),
                Err(_) => return Some(Refusal::NoRole(key)),
            }
        }
    };
    let (owned, unresolved) = index.rules(caller, &namespace);
    let missing = missing(&owned, &wanted);
    if missing.is_empty() {
        return None;
    }
    let mut message = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        caller.user,
        quoted(&caller.groups),
        missing.join("\n")
    );
    if !unresolved.is_empty() {
        message.push_str(&format!("; resolution errors: [{unresolved}]"));
    }
    Some(Refusal::Widens(message))
}
