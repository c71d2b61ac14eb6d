//! Webhooks: who is asked about which request, what is sent, what an answer means.
//!
//! Pure. Never here: how webhooks are reached (`reach`), in which order they are asked (`engine::admit`).
//! Source: Kubernetes, "Dynamic Admission Control"; API reference, admissionregistration.k8s.io/v1.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::scope::{Condition, Scope, conditions, texts};
use crate::{
    engine::Denial,
    followed::Fold,
    reach::{CallError, Destination},
};

const DEFAULT_TIMEOUT_S: u64 = 10;

/// What becomes of a request when a webhook gives no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailurePolicy {
    /// It is refused.
    Fail,
    /// It goes on.
    Ignore,
}

impl FailurePolicy {
    pub(crate) fn of(value: &Value) -> FailurePolicy {
        match value.as_str() {
            Some("Ignore") => FailurePolicy::Ignore,
            _ => FailurePolicy::Fail,
        }
    }
}

/// One webhook of a configuration.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) name: String,
    pub(crate) scope: Scope,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) failure_policy: FailurePolicy,
    /// Whether it is asked again if others change the object after it.
    pub(crate) is_reinvoked: bool,
    pub(crate) timeout: Duration,
    destination: Result<Destination, String>,
    /// Whether it does nothing else than answer, so that it can be asked about what will not happen.
    has_side_effects: bool,
    /// The version of the review that it understands.
    review_version: Option<&'static str>,
}

/// Which of two kinds of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Mutating,
    Validating,
}

/// All webhooks, in the order of their configurations' names.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    mutating: BTreeMap<String, Vec<Arc<Webhook>>>,
    validating: BTreeMap<String, Vec<Arc<Webhook>>>,
}

impl Fold for Webhooks {
    type Part = Phase;
    const PARTS: &'static [Phase] = &[Phase::Mutating, Phase::Validating];

    fn collection(phase: Phase) -> &'static str {
        match phase {
            Phase::Mutating => "admissionregistration.k8s.io/mutatingwebhookconfigurations",
            Phase::Validating => "admissionregistration.k8s.io/validatingwebhookconfigurations",
        }
    }

    fn fold(&mut self, phase: Phase, _namespace: &str, name: &str, object: Option<&Value>) {
        let of_phase = match phase {
            Phase::Mutating => &mut self.mutating,
            Phase::Validating => &mut self.validating,
        };
        match object {
            Some(object) => {
                let list = object["webhooks"].as_array().into_iter().flatten();
                of_phase.insert(
                    name.to_owned(),
                    list.map(|webhook| Arc::new(Webhook::parse(webhook))).collect(),
                );
            }
            None => {
                of_phase.remove(name);
            }
        }
    }
}

impl Webhooks {
    /// The webhooks of a phase, in the order in which they are asked.
    pub(crate) fn of(&self, phase: Phase) -> Vec<Arc<Webhook>> {
        let of_phase = match phase {
            Phase::Mutating => &self.mutating,
            Phase::Validating => &self.validating,
        };
        of_phase.values().flatten().cloned().collect()
    }
}

/// What a webhook says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    /// The request may go on; with a JSON patch of the object, if it is to be changed.
    Allowed { patch: Option<Vec<u8>> },
    /// It may not.
    Denied(Denial),
}

/// An answer and what it says besides.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) warnings: Vec<String>,
}

impl Webhook {
    fn parse(webhook: &Value) -> Webhook {
        Webhook {
            name: webhook["name"].as_str().unwrap_or_default().to_owned(),
            scope: Scope::parse(webhook),
            conditions: conditions(&webhook["matchConditions"]),
            failure_policy: FailurePolicy::of(&webhook["failurePolicy"]),
            is_reinvoked: webhook["reinvocationPolicy"] == "IfNeeded",
            timeout: Duration::from_secs(webhook["timeoutSeconds"].as_u64().unwrap_or(DEFAULT_TIMEOUT_S)),
            destination: Destination::parse(&webhook["clientConfig"]).map_err(|error: CallError| error.to_string()),
            has_side_effects: !matches!(webhook["sideEffects"].as_str(), Some("None" | "NoneOnDryRun")),
            review_version: texts(&webhook["admissionReviewVersions"]).iter().find_map(|version| {
                match version.as_str() {
                    "v1" => Some("v1"),
                    "v1beta1" => Some("v1beta1"),
                    _ => None,
                }
            }),
        }
    }

    /// Where it is, or why it cannot be asked.
    pub(crate) fn destination(&self) -> Result<&Destination, &str> {
        match (&self.destination, self.review_version) {
            (Err(error), _) => Err(error),
            (_, None) => Err("webhook does not accept known AdmissionReview versions (v1, v1beta1)"),
            (Ok(destination), Some(_)) => Ok(destination),
        }
    }

    /// Whether it may be asked about a request that is only tried.
    pub(crate) fn takes_dry_runs(&self) -> bool {
        !self.has_side_effects
    }

    /// The document to send for a request.
    pub(crate) fn review(&self, request: &Value) -> Vec<u8> {
        let version = self.review_version.unwrap_or("v1");
        let review = json!({
            "kind": "AdmissionReview",
            "apiVersion": format!("admission.k8s.io/{version}"),
            "request": request,
        });
        serde_json::to_vec(&review).expect("a JSON value encodes into memory")
    }

    /// Reads the document that came back for the request of this uid.
    ///
    /// # Errors
    /// Why it is no answer.
    pub(crate) fn read(&self, phase: Phase, uid: &str, document: &[u8]) -> Result<Answered, String> {
        let review: Value = serde_json::from_slice(document)
            .map_err(|error| format!("couldn't decode the webhook's answer: {error}"))?;
        let wanted = format!("admission.k8s.io/{}", self.review_version.unwrap_or("v1"));
        let response = &review["response"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if !response.is_object() {
            return Err("webhook response was absent".to_owned());
        }
        let is_first = wanted.ends_with("/v1");
        if is_first && (review["kind"] != "AdmissionReview" || review["apiVersion"] != wanted) {
            return Err(format!(
                "expected webhook response of {wanted}, Kind=AdmissionReview, got {}, Kind={}",
                text(&review["apiVersion"]),
                text(&review["kind"])
            ));
        }
        if is_first && response["uid"] != uid {
            return Err(format!(
                "expected response.uid={uid:?}, got {:?}",
                text(&response["uid"])
            ));
        }
        let warnings = texts(&response["warnings"]);
        if response["allowed"] != true {
            let answer = Answer::Denied(self.denial(&response["status"]));
            return Ok(Answered { answer, warnings });
        }
        let patch = match (&response["patch"], phase) {
            (Value::Null, _) => None,
            (_, Phase::Validating) => return Err("a validating webhook may not patch".to_owned()),
            (patch, Phase::Mutating) => {
                if is_first && response["patchType"] != "JSONPatch" {
                    return Err("webhook returned response.patch but not response.patchType".to_owned());
                }
                let bytes = STANDARD.decode(text(patch));
                Some(bytes.map_err(|error| format!("response.patch is not base64: {error}"))?)
            }
        };
        Ok(Answered {
            answer: Answer::Allowed {
                patch: patch.filter(|patch| !patch.is_empty()),
            },
            warnings,
        })
    }

    fn denial(&self, status: &Value) -> Denial {
        const LEAST_CODE: u64 = 400;
        let text = |field: &str| status[field].as_str().unwrap_or_default();
        let denied = format!("admission webhook {:?} denied the request", self.name);
        let code = status["code"].as_u64().unwrap_or(0).max(LEAST_CODE);
        Denial {
            code: u16::try_from(code).ok().filter(|code| *code < 600).unwrap_or(400),
            reason: text("reason").to_owned(),
            message: match (text("message"), text("reason")) {
                ("", "") => format!("{denied} without explanation"),
                ("", reason) => format!("{denied}: {reason}"),
                (message, _) => format!("{denied}: {message}"),
            },
        }
    }
}

#[cfg(test)]
mod tests;
