//! Whether an API server beside this one can be asked: the `Available` condition of an APIService.
//!
//! ```text
//! its service is missing, lacks the port, or has no ready endpoint    False, without asking
//! else it is asked for its resources                                  True, or False: FailedDiscoveryCheck
//! ```
//!
//! Works on raw JSON, as [`crate::definitions`]. Never here: the asking.
//! Source: kube-aggregator's remote available controller, by its output.

use api::Timestamp;
use serde_json::{Value, json};

use crate::conditions::Conditions;

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// It can be asked.
    pub is_available: bool,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Verdict {
    /// It has answered.
    #[must_use]
    pub fn passed() -> Verdict {
        Verdict {
            is_available: true,
            reason: "Passed",
            message: "all checks passed".to_owned(),
        }
    }

    /// It was asked at this URL and did not answer well.
    #[must_use]
    pub fn failed(url: &str, why: &str) -> Verdict {
        Verdict::unavailable(
            "FailedDiscoveryCheck",
            format!("failing or missing response from {url}: {why}"),
        )
    }

    fn unavailable(reason: &'static str, message: String) -> Verdict {
        Verdict {
            is_available: false,
            reason,
            message,
        }
    }
}

/// Why it need not even be asked; nothing if it may be. `service` is what the spec names, and `slices` are its
/// EndpointSlices.
#[must_use]
pub fn obstacle(spec: &Value, service: Option<&Value>, slices: &[Value]) -> Option<Verdict> {
    let text = |field: &str| spec["service"][field].as_str().unwrap_or_default();
    let what = format!("service/{} in {:?}", text("name"), text("namespace"));
    let wanted = spec["service"]["port"].as_u64().unwrap_or(443);
    let Some(service) = service else {
        return Some(Verdict::unavailable(
            "ServiceNotFound",
            format!("{what} is not present"),
        ));
    };
    let ports = service["spec"]["ports"].as_array();
    let Some(port) = ports.into_iter().flatten().find(|port| port["port"] == wanted) else {
        let message = format!("{what} is not listening on port {wanted}");
        return Some(Verdict::unavailable("ServicePortError", message));
    };
    if slices.is_empty() {
        let message = format!("cannot find endpointslices for {what}");
        return Some(Verdict::unavailable("EndpointsNotFound", message));
    }
    let name = port["name"].as_str().unwrap_or_default();
    if !slices.iter().any(|slice| has_ready(slice, name)) {
        let message = format!("endpoints for {what} have no addresses with port name {name:?}");
        return Some(Verdict::unavailable("MissingEndpoints", message));
    }
    None
}

fn has_ready(slice: &Value, port: &str) -> bool {
    let list = |field: &str| slice[field].as_array().into_iter().flatten();
    list("ports").any(|known| known["name"].as_str().unwrap_or_default() == port)
        && list("endpoints").any(|endpoint| endpoint["conditions"]["ready"] != false)
}

/// The status that the APIService should have, if it has another.
#[must_use]
pub fn status(service: &Value, verdict: &Verdict, now: Timestamp) -> Option<Value> {
    let mut status = service["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    let word = if verdict.is_available { "True" } else { "False" };
    Conditions::of(&mut status, now).set("Available", word, verdict.reason, &verdict.message);
    (status != service["status"]).then_some(status)
}

#[cfg(test)]
mod tests;
