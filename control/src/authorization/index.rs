//! Roles and bindings, found by whom they are for. Pure: folds versions of objects, answers questions.
//!
//! A question costs as much as the caller has bindings, however many there are of others.
//! Source: Kubernetes, "Using RBAC Authorization".

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::ControlFlow,
    sync::Arc,
};

use serde::Deserialize as _;
use serde_json::Value;

use super::{
    request::{Decision, Request},
    rule::Rule,
};
use crate::{
    auth::{Caller, service_account_user},
    following::Fold,
    store::Stored,
};

/// The kinds the index is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part {
    ClusterRole,
    Role,
    ClusterRoleBinding,
    RoleBinding,
}

impl Part {
    const ALL: [Part; 4] = [
        Part::ClusterRole,
        Part::Role,
        Part::ClusterRoleBinding,
        Part::RoleBinding,
    ];

    /// Where the store keeps them.
    const fn collection(self) -> &'static str {
        match self {
            Part::ClusterRole => "rbac.authorization.k8s.io/clusterroles",
            Part::Role => "rbac.authorization.k8s.io/roles",
            Part::ClusterRoleBinding => "rbac.authorization.k8s.io/clusterrolebindings",
            Part::RoleBinding => "rbac.authorization.k8s.io/rolebindings",
        }
    }
}

/// Whom a binding is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    /// Also service accounts, by the name of their user.
    User(String),
    Group(String),
}

/// A role that a binding gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RoleKey {
    /// Empty for a ClusterRole.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

/// One line of a binding.
#[derive(Debug, Clone)]
struct Grant {
    role: RoleKey,
    /// `ClusterRoleBinding "a" of ClusterRole "b" to User "c"`
    words: Arc<str>,
}

/// The bindings of one namespace, or of the whole cluster, by whom they are for and by name.
type Grants = HashMap<Subject, BTreeMap<String, Grant>>;

/// A binding gives a role that is not there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RoleMissing(String);

impl fmt::Display for RoleMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RoleKey {
    fn missing(&self) -> RoleMissing {
        let kind = if self.namespace.is_empty() {
            "clusterrole"
        } else {
            "role"
        };
        RoleMissing(format!("{kind}.rbac.authorization.k8s.io {:?} not found", self.name))
    }
}

/// All roles and bindings.
#[derive(Debug, Default)]
pub(super) struct Index {
    roles: HashMap<RoleKey, Arc<[Rule]>>,
    /// By namespace; empty for the cluster.
    grants: HashMap<String, Grants>,
    /// Whom a binding is for, by its namespace and name, so that it can be taken out.
    subjects: HashMap<(String, String), Vec<Subject>>,
}

impl Fold for Index {
    type Part = Part;
    const PARTS: &'static [Part] = &Part::ALL;

    fn collection(part: Part) -> &'static str {
        part.collection()
    }

    fn fold(&mut self, part: Part, namespace: &str, name: &str, stored: Option<&Stored>) {
        let object: Option<Value> = stored.and_then(|stored| serde_json::from_slice(&stored.value).ok());
        self.put(part, namespace, name, object.as_ref());
    }
}

impl Index {
    /// Takes a new version of an object in, or its absence.
    pub(super) fn put(&mut self, part: Part, namespace: &str, name: &str, object: Option<&Value>) {
        match part {
            Part::ClusterRole | Part::Role => {
                let key = RoleKey {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                };
                match object {
                    Some(role) => self.roles.insert(key, rules_of(role).into()),
                    None => self.roles.remove(&key),
                };
            }
            Part::ClusterRoleBinding | Part::RoleBinding => {
                self.unbind(namespace, name);
                if let Some(binding) = object {
                    self.bind(namespace, name, binding);
                }
            }
        }
    }

    fn unbind(&mut self, namespace: &str, name: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        let (Some(subjects), Some(grants)) = (self.subjects.remove(&key), self.grants.get_mut(namespace)) else {
            return;
        };
        for subject in subjects {
            if let Some(bindings) = grants.get_mut(&subject) {
                bindings.remove(name);
                if bindings.is_empty() {
                    grants.remove(&subject);
                }
            }
        }
        if grants.is_empty() {
            self.grants.remove(namespace);
        }
    }

    fn bind(&mut self, namespace: &str, name: &str, binding: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, role_name) = (text(&binding["roleRef"]["kind"]), text(&binding["roleRef"]["name"]));
        let role = RoleKey {
            namespace: if kind == "Role" {
                namespace.to_owned()
            } else {
                String::new()
            },
            name: role_name.clone(),
        };
        let (binding_kind, shown) = match namespace {
            "" => ("ClusterRoleBinding", name.to_owned()),
            namespace => ("RoleBinding", format!("{name}/{namespace}")),
        };
        let mut subjects = Vec::new();
        for item in binding["subjects"].as_array().into_iter().flatten() {
            let name_of = text(&item["name"]);
            let (subject, to) = match item["kind"].as_str() {
                Some("User") => (Subject::User(name_of.clone()), format!("User {name_of:?}")),
                Some("Group") => (Subject::Group(name_of.clone()), format!("Group {name_of:?}")),
                Some("ServiceAccount") => {
                    let own = item["namespace"].as_str().filter(|own| !own.is_empty());
                    let home = own.unwrap_or(namespace);
                    let user = service_account_user(home, &name_of);
                    (
                        Subject::User(user),
                        format!("ServiceAccount {:?}", format!("{name_of}/{home}")),
                    )
                }
                _ => continue,
            };
            let grant = Grant {
                role: role.clone(),
                words: format!("{binding_kind} {shown:?} of {kind} {role_name:?} to {to}").into(),
            };
            let grants = self.grants.entry(namespace.to_owned()).or_default();
            grants
                .entry(subject.clone())
                .or_default()
                .entry(name.to_owned())
                .or_insert(grant);
            subjects.push(subject);
        }
        self.subjects.insert((namespace.to_owned(), name.to_owned()), subjects);
    }

    /// The rules of a role.
    pub(super) fn role(&self, key: &RoleKey) -> Result<&Arc<[Rule]>, RoleMissing> {
        self.roles.get(key).ok_or_else(|| key.missing())
    }

    /// Whether some binding of the caller allows the request. A refusal's reason names roles that are missing.
    pub(super) fn decide(&self, caller: &Caller, request: &Request) -> Decision {
        let namespace = match request {
            Request::Resource(request) => request.namespace.as_str(),
            Request::Path { .. } => "",
        };
        let mut missing = Vec::new();
        let found = self.visit(caller, namespace, |grant, rules| match rules {
            Ok(rules) if rules.iter().any(|rule| rule.allows(request)) => ControlFlow::Break(grant.words.clone()),
            Ok(_) => ControlFlow::Continue(()),
            Err(error) => {
                missing.push(error);
                ControlFlow::Continue(())
            }
        });
        match found {
            ControlFlow::Break(words) => Decision {
                allowed: true,
                reason: format!("RBAC: allowed by {words}"),
            },
            ControlFlow::Continue(()) => Decision {
                allowed: false,
                reason: match aggregate(missing) {
                    none if none.is_empty() => none,
                    some => format!("RBAC: {some}"),
                },
            },
        }
    }

    /// All rules that hold for the caller in a namespace (empty: for the cluster), and which roles are missing.
    pub(super) fn rules(&self, caller: &Caller, namespace: &str) -> (Vec<Rule>, String) {
        let (mut all, mut missing) = (Vec::new(), Vec::new());
        let _ = self.visit(caller, namespace, |_, rules| -> ControlFlow<()> {
            match rules {
                Ok(rules) => all.extend(rules.iter().cloned()),
                Err(error) => missing.push(error),
            }
            ControlFlow::Continue(())
        });
        (all, aggregate(missing))
    }

    /// Goes through the grants of a caller, those of the cluster first.
    fn visit<Found>(
        &self,
        caller: &Caller,
        namespace: &str,
        mut see: impl FnMut(&Grant, Result<&Arc<[Rule]>, RoleMissing>) -> ControlFlow<Found>,
    ) -> ControlFlow<Found> {
        let groups = caller.groups.iter().cloned().map(Subject::Group);
        let subjects: Vec<Subject> = std::iter::once(Subject::User(caller.user.clone()))
            .chain(groups)
            .collect();
        let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
        for place in std::iter::once("").chain(namespace) {
            let Some(grants) = self.grants.get(place) else { continue };
            for grant in subjects
                .iter()
                .filter_map(|subject| grants.get(subject))
                .flat_map(BTreeMap::values)
            {
                see(grant, self.role(&grant.role))?;
            }
        }
        ControlFlow::Continue(())
    }
}

/// The rules of a role; what is no rule is left out.
pub(super) fn rules_of(role: &Value) -> Vec<Rule> {
    let rules = role["rules"].as_array().into_iter().flatten();
    rules.filter_map(|rule| Rule::deserialize(rule).ok()).collect()
}

fn aggregate(mut missing: Vec<RoleMissing>) -> String {
    missing.sort();
    missing.dedup();
    match missing.as_slice() {
        [] => String::new(),
        [one] => one.to_string(),
        many => {
            let list: Vec<&str> = many.iter().map(|error| error.0.as_str()).collect();
            format!("[{}]", list.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
