//! ValidatingAdmissionPolicies: which apply to a request by their bindings, and what they say about it.
//!
//! Pure. Never here: where parameters come from (`engine::admit`). Expressions cannot ask the `authorizer` yet: one that
//! does has no value, and the policy's failure policy decides.
//! Source: Kubernetes, "Validating Admission Policy"; API reference, admissionregistration.k8s.io/v1.

use std::{collections::BTreeMap, sync::Arc};

use api::expression::{Answer, Expression, Scope as Names};
use serde_json::{Map, Value};

use super::{
    scope::{Condition, Scope, Verdict, conditions, judge, texts},
    webhook::FailurePolicy,
};
use crate::followed::Fold;

/// A policy.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) name: String,
    pub(crate) scope: Scope,
    pub(crate) failure_policy: FailurePolicy,
    /// `apiVersion` and `kind` of its parameters, if it has any.
    pub(crate) param_kind: Option<(String, String)>,
    conditions: Vec<Condition>,
    variables: Vec<(String, Result<Expression, String>)>,
    validations: Vec<Validation>,
}

/// One line of a policy.
#[derive(Debug)]
struct Validation {
    text: String,
    expression: Result<Expression, String>,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
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
#[derive(Debug, Default)]
pub(crate) struct Policies {
    policies: BTreeMap<String, Arc<Policy>>,
    bindings: BTreeMap<String, Arc<Binding>>,
}

impl Fold for Policies {
    type Part = Part;
    const PARTS: &'static [Part] = &[Part::Policy, Part::Binding];

    fn collection(part: Part) -> &'static str {
        match part {
            Part::Policy => "admissionregistration.k8s.io/validatingadmissionpolicies",
            Part::Binding => "admissionregistration.k8s.io/validatingadmissionpolicybindings",
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

impl Policies {
    /// Policies that are in force, with what puts them there.
    pub(crate) fn in_force(&self) -> Vec<(Arc<Policy>, Arc<Binding>)> {
        let bound = |binding: &Arc<Binding>| Some((self.policies.get(&binding.policy)?.clone(), binding.clone()));
        self.bindings.values().filter_map(bound).collect()
    }
}

/// What a policy says against a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// For machines: `Invalid`, `Forbidden`, …
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Policy {
    fn parse(name: &str, spec: &Value) -> Policy {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |field: &str| spec[field].as_array().into_iter().flatten();
        let compiled = |text: &str| Expression::compile(text).map_err(|error| error.to_string());
        Policy {
            name: name.to_owned(),
            scope: Scope::parse(&spec["matchConstraints"]),
            failure_policy: FailurePolicy::of(&spec["failurePolicy"]),
            param_kind: spec["paramKind"]
                .is_object()
                .then(|| (text(&spec["paramKind"]["apiVersion"]), text(&spec["paramKind"]["kind"]))),
            conditions: conditions(&spec["matchConditions"]),
            variables: list("variables")
                .map(|variable| (text(&variable["name"]), compiled(&text(&variable["expression"]))))
                .collect(),
            validations: list("validations")
                .map(|validation| Validation {
                    text: text(&validation["expression"]),
                    expression: compiled(&text(&validation["expression"])),
                    message: text(&validation["message"]),
                    message_expression: validation["messageExpression"]
                        .as_str()
                        .and_then(|text| Expression::compile(text).ok()),
                    reason: match validation["reason"].as_str() {
                        Some(reason) if !reason.is_empty() => reason.to_owned(),
                        _ => "Invalid".to_owned(),
                    },
                })
                .collect(),
        }
    }

    /// Everything that it says against a request whose names are given: `object`, `oldObject`, `request`,
    /// `namespaceObject`, `params`.
    pub(crate) fn faults(&self, names: &mut Names) -> Vec<Fault> {
        match (judge(&self.conditions, names), self.failure_policy) {
            (Verdict::Holds, _) => {}
            (Verdict::Not, _) | (Verdict::Fails(_), FailurePolicy::Ignore) => return Vec::new(),
            (Verdict::Fails(message), FailurePolicy::Fail) => return vec![failed(message)],
        }
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
        let validations = self.validations.iter();
        validations
            .filter_map(|validation| self.ask(validation, names))
            .collect()
    }

    fn ask(&self, validation: &Validation, names: &Names) -> Option<Fault> {
        let answer = match &validation.expression {
            Ok(expression) => expression.evaluate(names).map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        };
        let error = match answer {
            Ok(Answer::Bool(true)) => return None,
            Ok(Answer::Bool(false)) => {
                return Some(Fault {
                    reason: validation.reason.clone(),
                    message: validation.words(names),
                });
            }
            Ok(_) => "it is no bool".to_owned(),
            Err(error) => error,
        };
        match self.failure_policy {
            FailurePolicy::Ignore => None,
            FailurePolicy::Fail => Some(failed(format!(
                "expression '{}' resulted in error: {error}",
                validation.text
            ))),
        }
    }
}

fn failed(message: String) -> Fault {
    Fault {
        reason: "Invalid".to_owned(),
        message,
    }
}

impl Validation {
    /// What is said if it does not hold.
    fn words(&self, names: &Names) -> String {
        let told = self.message_expression.as_ref().and_then(|expression| {
            let Ok(Answer::Text(text)) = expression.evaluate(names) else {
                return None;
            };
            let is_line = !text.trim().is_empty() && !text.contains('\n');
            is_line.then(|| text.trim().to_owned())
        });
        told.unwrap_or_else(|| match self.message.trim() {
            "" => format!("failed expression: {}", self.text.trim()),
            message => message.to_owned(),
        })
    }
}

impl Binding {
    fn parse(name: &str, spec: &Value) -> Binding {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
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

#[cfg(test)]
mod tests;
