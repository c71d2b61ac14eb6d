//! Admission policies: which there are, and which apply to a request by their bindings.
//!
//! Pure. Never here: where parameters come from (`engine::admit`).
//! Source: Kubernetes, "Validating Admission Policy", "Mutating Admission Policy"; API reference,
//! admissionregistration.k8s.io/v1.

mod mutating;
mod type_checking;
mod validating;

use std::{collections::BTreeMap, sync::Arc};

use api::expression::{Expression, Scope as Names};
use serde_json::{Map, Value};

pub(crate) use self::{
    mutating::Mutations,
    type_checking::status as type_status,
    validating::{Fault, Validations},
};
use super::{
    scope::{Condition, Scope, Verdict, conditions, judge, texts},
    webhook::FailurePolicy,
};
use crate::followed::Fold;

/// What policies of a kind do about requests.
pub(crate) trait Effect: Sized + 'static {
    /// Where the policies are stored.
    const POLICIES: &'static str;
    /// Where their bindings are.
    const BINDINGS: &'static str;

    /// From the `spec` of a policy.
    fn parse(spec: &Value) -> Self;
}

/// A policy.
#[derive(Debug)]
pub(crate) struct Policy<E> {
    pub(crate) name: String,
    pub(crate) scope: Scope,
    pub(crate) failure_policy: FailurePolicy,
    /// `apiVersion` and `kind` of its parameters, if it has any.
    pub(crate) param_kind: Option<(String, String)>,
    pub(crate) effect: E,
    conditions: Vec<Condition>,
    variables: Vec<(String, Result<Expression, String>)>,
}

/// What puts a policy into force.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) name: String,
    policy: String,
    /// None: whatever the policy is about.
    pub(crate) scope: Option<Scope>,
    pub(crate) params: Option<ParamReference>,
    actions: Vec<Action>,
}

/// Which objects are a binding's parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ParamReference {
    /// Empty: those that the selector selects.
    pub(crate) name: String,
    /// Empty: that of the request.
    pub(crate) namespace: String,
    pub(crate) selector: Value,
    /// Whether it is well if there are none.
    pub(crate) may_be_missing: bool,
}

/// What follows from a validation that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Audit,
    Deny,
    Warn,
}

/// Which of two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Policy,
    Binding,
}

/// All policies and bindings.
#[derive(Debug)]
pub(crate) struct Policies<E> {
    policies: BTreeMap<String, Arc<Policy<E>>>,
    bindings: BTreeMap<String, Arc<Binding>>,
}

/// A policy that is in force, with what puts it there.
pub(crate) type Bound<E> = (Arc<Policy<E>>, Arc<Binding>);

impl<E> Default for Policies<E> {
    fn default() -> Policies<E> {
        Policies {
            policies: BTreeMap::new(),
            bindings: BTreeMap::new(),
        }
    }
}

impl<E: Effect> Fold for Policies<E> {
    type Part = Part;
    const PARTS: &'static [Part] = &[Part::Policy, Part::Binding];

    fn collection(part: Part) -> &'static str {
        match part {
            Part::Policy => E::POLICIES,
            Part::Binding => E::BINDINGS,
        }
    }

    fn fold(&mut self, part: Part, _namespace: &str, name: &str, object: Option<&Value>) {
        match (part, object) {
            (Part::Policy, Some(object)) => {
                self.policies
                    .insert(name.to_owned(), Arc::new(Policy::parse(name, &object["spec"])));
            }
            (Part::Binding, Some(object)) => {
                self.bindings
                    .insert(name.to_owned(), Arc::new(Binding::parse(name, &object["spec"])));
            }
            (Part::Policy, None) => drop(self.policies.remove(name)),
            (Part::Binding, None) => drop(self.bindings.remove(name)),
        }
    }
}

impl<E> Policies<E> {
    /// The policies that are in force, by their names and those of their bindings.
    pub(crate) fn in_force(&self) -> Vec<Bound<E>> {
        let bound = |binding: &Arc<Binding>| Some((self.policies.get(&binding.policy)?.clone(), binding.clone()));
        let mut bound: Vec<Bound<E>> = self.bindings.values().filter_map(bound).collect();
        // Bindings are in order already.
        bound.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        bound
    }
}

impl<E: Effect> Policy<E> {
    fn parse(name: &str, spec: &Value) -> Policy<E> {
        let variables = spec["variables"].as_array().into_iter().flatten();
        Policy {
            name: name.to_owned(),
            scope: Scope::parse(&spec["matchConstraints"]),
            failure_policy: FailurePolicy::of(&spec["failurePolicy"]),
            param_kind: spec["paramKind"]
                .is_object()
                .then(|| (text(&spec["paramKind"]["apiVersion"]), text(&spec["paramKind"]["kind"]))),
            effect: E::parse(spec),
            conditions: conditions(&spec["matchConditions"]),
            variables: variables
                .map(|variable| (text(&variable["name"]), compiled(&variable["expression"])))
                .collect(),
        }
    }
}

impl<E> Policy<E> {
    /// Whether its conditions hold for a request whose names are given: `object`, `oldObject`, `request`,
    /// `namespaceObject`, `params`.
    pub(crate) fn judge(&self, names: &Names) -> Verdict {
        judge(&self.conditions, names)
    }

    /// Adds its `variables` to the names.
    fn add_variables(&self, names: &mut Names) {
        let mut variables = Map::new();
        for (name, expression) in &self.variables {
            // One without a value is missed only by those who need it.
            if let Ok(expression) = expression
                && let Ok(value) = expression.evaluate(names)
            {
                variables.insert(name.clone(), value.into_json());
                names.set("variables", &Value::Object(variables.clone()));
            }
        }
        if variables.is_empty() {
            names.set("variables", &Value::Object(variables));
        }
    }
}

impl Binding {
    fn parse(name: &str, spec: &Value) -> Binding {
        let reference = &spec["paramRef"];
        Binding {
            name: name.to_owned(),
            policy: text(&spec["policyName"]),
            scope: spec["matchResources"]
                .is_object()
                .then(|| Scope::parse(&spec["matchResources"])),
            params: reference.is_object().then(|| ParamReference {
                name: text(&reference["name"]),
                namespace: text(&reference["namespace"]),
                selector: reference["selector"].clone(),
                may_be_missing: reference["parameterNotFoundAction"] == "Allow",
            }),
            actions: texts(&spec["validationActions"])
                .iter()
                .filter_map(|action| match action.as_str() {
                    "Audit" => Some(Action::Audit),
                    "Deny" => Some(Action::Deny),
                    "Warn" => Some(Action::Warn),
                    _ => None,
                })
                .collect(),
        }
    }

    pub(crate) fn denies(&self) -> bool {
        self.actions.contains(&Action::Deny)
    }

    pub(crate) fn warns(&self) -> bool {
        self.actions.contains(&Action::Warn)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn compiled(expression: &Value) -> Result<Expression, String> {
    Expression::compile(expression.as_str().unwrap_or_default()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
