//! Admission of what nodes' agents write with their own name: NodeRestriction.
//!
//! What agents tell over their stream is written by the server, which looks at it itself.

use serde_json::Value;

use super::Attempt;
use crate::{
    admission::node_restriction::{self, Act},
    certificates,
    engine::{ApiError, Engine, Target, strategy},
};

impl Engine {
    /// Refuses what the agent of a node may not do with an object that it may write.
    pub(super) fn check_node_restriction(&self, attempt: &Attempt<'_>, new: Option<&Value>) -> Result<(), ApiError> {
        let Some(node) = attempt.caller.node_name() else {
            return Ok(());
        };
        let path = match attempt.subresource {
            "" => attempt.asked.plural.to_owned(),
            subresource => format!("{}/{subresource}", attempt.asked.plural),
        };
        let act = Act {
            operation: attempt.operation,
            group: attempt.asked.group,
            path: &path,
            namespace: attempt.namespace,
            name: attempt.name,
            old: attempt.old.unwrap_or(&Value::Null),
            new: new.unwrap_or(&Value::Null),
        };
        let fault = node_restriction::fault(node, &act).or_else(|| {
            let request = new.filter(|_| strategy::is_certificate_request(attempt.asked) && attempt.old.is_none())?;
            let signer = request["spec"]["signerName"].as_str().unwrap_or_default();
            let common_name = certificates::common_name(request)?;
            node_restriction::certificate_fault(&attempt.caller.user, signer, &common_name)
        });
        fault.map_or(Ok(()), |detail| Err(ApiError::forbidden(attempt.target(), detail)))
    }

    /// Refuses a token that the agent of a node may not ask for.
    pub(crate) fn check_node_token(
        &self,
        caller: &crate::auth::Caller,
        namespace: &str,
        account: &str,
        request: &Value,
    ) -> Result<(), ApiError> {
        let Some(node) = caller.node_name() else {
            return Ok(());
        };
        let bound = &request["spec"]["boundObjectRef"];
        let kind = |plural| api::resource::by_path("", "v1", plural).expect("the table has the core kinds");
        let name = bound["name"].as_str().unwrap_or_default();
        let pod = match self.get(kind("pods"), namespace, name) {
            Ok(pod) => Some(pod),
            // Who issues the token says so.
            Err(ApiError::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        match node_restriction::token_fault(node, bound, pod.as_ref()) {
            None => Ok(()),
            Some(detail) => Err(ApiError::forbidden(
                Target::new(kind("serviceaccounts"), account),
                detail,
            )),
        }
    }
}
