//! What is to be done about a CertificateSigningRequest, and when to look at it again. Pure.
//!
//! ```text
//! pending ──approved──▶ approved ──right for its signer──▶ issued ──1 h, or the certificate ends──▶ gone
//!    │ │                    └───────wrong for its signer──▶ failed ──1 h──▶ gone
//!    │ └──denied──▶ denied ──1 h──▶ gone
//!    └──24 h──▶ gone
//! ```
//! Source: Kubernetes, "Certificates and Certificate Signing Requests": "Request signing process", "Kubernetes
//! signers".

use std::time::Duration;

use api::Timestamp;
use serde_json::Value;
use x509_parser::pem::parse_x509_pem;

use super::{
    asked::Asked,
    signer::{self, Signer, Usage},
};

/// How long a request is kept that was decided or carried out.
const DONE_KEPT: Duration = Duration::from_secs(3600);
/// How long a request is kept that nobody decides about.
const PENDING_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// Approve it for the first of these that its maker may do.
    Approve(Vec<Recognized>),
    /// Say why it will not be signed.
    Fail(String),
    Sign(Box<Order>),
    Delete,
}

/// A request that needs no human if its maker has the right to make such requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recognized {
    /// A node asks for itself.
    SelfNodeClient,
    /// Somebody asks for a node.
    NodeClient,
}

impl Recognized {
    /// The subresource of requests that the maker must be allowed to create.
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Recognized::SelfNodeClient => "selfnodeclient",
            Recognized::NodeClient => "nodeclient",
        }
    }

    /// Why it was approved.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Recognized::SelfNodeClient => "Auto approving self kubelet client certificate after SubjectAccessReview.",
            Recognized::NodeClient => "Auto approving kubelet client certificate after SubjectAccessReview.",
        }
    }
}

/// A certificate that is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) asked: Asked,
    pub(crate) usages: Vec<Usage>,
    pub(crate) life: Duration,
}

/// What is due, and when the answer will be another although nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) due: Due,
    pub(crate) look_again: Option<Timestamp>,
}

/// Judges a request as it is at `now`; certificates are signed for `life_max` at most.
pub(crate) fn plan(request: &Value, life_max: Duration, now: Timestamp) -> Plan {
    let until = kept_until(request);
    if until.is_some_and(|until| until <= now) {
        return Plan {
            due: Due::Delete,
            look_again: None,
        };
    }
    Plan {
        due: due(request, life_max),
        look_again: until,
    }
}

fn due(request: &Value, life_max: Duration) -> Due {
    let (approved, denied, failed) = (has(request, "Approved"), has(request, "Denied"), has(request, "Failed"));
    let name = request["spec"]["signerName"].as_str().unwrap_or_default();
    let Some(signer) = Signer::by_name(name) else {
        return Due::Nothing;
    };
    if is_issued(request) || denied || failed || !request["metadata"]["deletionTimestamp"].is_null() {
        return Due::Nothing;
    }
    let asked = Asked::of(request);
    let usages: Vec<&str> = items(&request["spec"]["usages"]).filter_map(Value::as_str).collect();
    if approved {
        let judged = match &asked {
            Ok(asked) => signer::judge(signer, asked, &usages).map_err(|fault| fault.to_string()),
            Err(error) => Err(error.to_string()),
        };
        return match (judged, asked) {
            (Ok(usages), Ok(asked)) => Due::Sign(Box::new(Order {
                asked,
                usages,
                life: signer::life(request["spec"]["expirationSeconds"].as_i64(), life_max),
            })),
            (Err(message), _) => Due::Fail(message),
            (Ok(_), Err(error)) => Due::Fail(error.to_string()),
        };
    }
    match asked {
        Ok(asked) if signer == Signer::NodeClient && signer::judge(signer, &asked, &usages).is_ok() => {
            let is_own = request["spec"]["username"] == asked.common_name;
            let own = is_own.then_some(Recognized::SelfNodeClient);
            Due::Approve(own.into_iter().chain([Recognized::NodeClient]).collect())
        }
        _ => Due::Nothing,
    }
}

fn kept_until(request: &Value) -> Option<Timestamp> {
    let conditions = items(&request["status"]["conditions"]);
    let decided = conditions.filter(|condition| match condition["type"].as_str() {
        Some("Approved") => is_issued(request),
        Some("Denied" | "Failed") => true,
        _ => false,
    });
    let mut ends: Vec<Timestamp> = decided
        .filter_map(|condition| time(&condition["lastUpdateTime"]))
        .filter_map(|at| at.checked_add(DONE_KEPT).ok())
        .collect();
    if items(&request["status"]["conditions"]).next().is_none() {
        let created = time(&request["metadata"]["creationTimestamp"]);
        ends.extend(created.and_then(|at| at.checked_add(PENDING_KEPT).ok()));
    }
    ends.extend(certificate_end(request));
    ends.into_iter().min()
}

/// When the issued certificate is good no longer.
fn certificate_end(request: &Value) -> Option<Timestamp> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let pem = STANDARD.decode(request["status"]["certificate"].as_str()?).ok()?;
    let (_, pem) = parse_x509_pem(&pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

fn is_issued(request: &Value) -> bool {
    !request["status"]["certificate"].as_str().unwrap_or_default().is_empty()
}

fn has(request: &Value, kind: &str) -> bool {
    items(&request["status"]["conditions"]).any(|condition| condition["type"] == kind)
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
