//! Which rights over a signer a write of a CertificateSigningRequest takes, and which subjects nobody may ask for. Pure.
//!
//! Source: Kubernetes, "Admission Control in Kubernetes": CertificateApproval, CertificateSigning,
//! CertificateSubjectRestriction.

use serde_json::Value;

use super::{asked::Asked, signer::Signer};
use crate::{
    auth::MASTERS_GROUP,
    authorization::{Request, ResourceRequest},
};

/// A right over a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// To decide about requests.
    Approve,
    /// To issue certificates.
    Sign,
}

impl Right {
    /// What its holder may do: with this signer, or with all of its domain.
    pub(crate) fn requests(self, signer: &str) -> [Request; 2] {
        let domain = signer.split('/').next().unwrap_or_default();
        [signer.to_owned(), format!("{domain}/*")].map(|name| {
            Request::Resource(ResourceRequest {
                verb: self.verb().to_owned(),
                group: "certificates.k8s.io".to_owned(),
                resource: "signers".to_owned(),
                name,
                ..ResourceRequest::default()
            })
        })
    }

    /// What is said to who does not have it.
    pub(crate) fn refusal(self, signer: &str) -> String {
        format!(
            "user not permitted to {} requests with signerName {signer:?}",
            self.verb()
        )
    }

    fn verb(self) -> &'static str {
        match self {
            Right::Approve => "approve",
            Right::Sign => "sign",
        }
    }
}

/// What the change of a request takes.
pub(crate) fn needed(old: &Value, new: &Value) -> Vec<Right> {
    let is_decision = |condition: &&Value| condition["type"] == "Approved" || condition["type"] == "Denied";
    let conditions = |request: &Value, decisions: bool| -> Vec<Value> {
        let list = request["status"]["conditions"].as_array().into_iter().flatten();
        list.filter(|condition| is_decision(condition) == decisions)
            .cloned()
            .collect()
    };
    let mut rights = Vec::new();
    if conditions(old, true) != conditions(new, true) {
        rights.push(Right::Approve);
    }
    if conditions(old, false) != conditions(new, false) || old["status"]["certificate"] != new["status"]["certificate"]
    {
        rights.push(Right::Sign);
    }
    rights
}

/// Why a new request is refused whoever makes it: a certificate that may do everything could never be taken back.
pub(crate) fn subject_fault(request: &Value) -> Option<String> {
    let signer = request["spec"]["signerName"].as_str().unwrap_or_default();
    if Signer::by_name(signer) != Some(Signer::ApiClient) {
        return None;
    }
    let asked = Asked::of(request).ok()?;
    asked
        .organizations
        .iter()
        .any(|group| group == MASTERS_GROUP)
        .then(|| format!("use of {signer} signer with {MASTERS_GROUP} group is not allowed"))
}

#[cfg(test)]
mod tests;
