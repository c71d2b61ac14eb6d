//! Admission of CertificateSigningRequests: deciding and issuing take rights over the signer.
//!
//! Source: Kubernetes, "Admission Control in Kubernetes": CertificateApproval, CertificateSigning,
//! CertificateSubjectRestriction.

use serde_json::Value;

use super::Attempt;
use crate::{
    certificates::rights,
    engine::{ApiError, Engine, strategy},
};

impl Engine {
    /// Refuses a decision about a certificate, or its issue, by somebody without that right over its signer.
    pub(super) fn check_certificate_rights(&self, attempt: &Attempt<'_>, new: &Value) -> Result<(), ApiError> {
        if !strategy::is_certificate_request(attempt.asked) {
            return Ok(());
        }
        let refuse = |detail| Err(ApiError::forbidden(attempt.target(), detail));
        let Some(old) = attempt.old else {
            return rights::subject_fault(new).map_or(Ok(()), refuse);
        };
        let signer = old["spec"]["signerName"].as_str().unwrap_or_default();
        for right in rights::needed(old, new) {
            let mut is_allowed = false;
            for request in right.requests(signer) {
                let decision = self.access().decide(attempt.caller, &request);
                is_allowed |= decision.map_err(ApiError::Read)?.allowed;
            }
            if !is_allowed {
                return refuse(right.refusal(signer));
            }
        }
        Ok(())
    }
}
