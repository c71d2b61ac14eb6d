//! What ValidatingAdmissionPolicies say about a request.
//!
//! Pure. Source: Kubernetes, "Validating Admission Policy".

use api::expression::{Answer, Expression, Scope as Names};
use serde_json::Value;

use super::{Effect, FailurePolicy, Policy, Verdict, compiled, text};

/// The lines of a policy.
#[derive(Debug)]
pub(crate) struct Validations(Vec<Validation>);

/// One line of a policy.
#[derive(Debug)]
struct Validation {
    text: String,
    expression: Result<Expression, String>,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

/// What a policy says against a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// For machines: `Invalid`, `Forbidden`, …
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Effect for Validations {
    const POLICIES: &'static str = "admissionregistration.k8s.io/validatingadmissionpolicies";
    const BINDINGS: &'static str = "admissionregistration.k8s.io/validatingadmissionpolicybindings";

    fn parse(spec: &Value) -> Validations {
        let list = spec["validations"].as_array().into_iter().flatten();
        let parsed = list.map(|validation| Validation {
            text: text(&validation["expression"]),
            expression: compiled(&validation["expression"]),
            message: text(&validation["message"]),
            message_expression: validation["messageExpression"]
                .as_str()
                .and_then(|text| Expression::compile(text).ok()),
            reason: match validation["reason"].as_str() {
                Some(reason) if !reason.is_empty() => reason.to_owned(),
                _ => "Invalid".to_owned(),
            },
        });
        Validations(parsed.collect())
    }
}

impl Policy<Validations> {
    /// Everything that it says against a request whose names are given: `object`, `oldObject`, `request`,
    /// `namespaceObject`, `params`.
    pub(crate) fn faults(&self, names: &mut Names) -> Vec<Fault> {
        match (self.judge(names), self.failure_policy) {
            (Verdict::Holds, _) => {}
            (Verdict::Not, _) | (Verdict::Fails(_), FailurePolicy::Ignore) => return Vec::new(),
            (Verdict::Fails(message), FailurePolicy::Fail) => return vec![failed(message)],
        }
        self.add_variables(names);
        let validations = self.effect.0.iter();
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

#[cfg(test)]
mod tests;
