//! What rules add to objects, and what they refuse: limit ranges.
//!
//! Never here: the decisions (`admission`).

use api::k8s_openapi::api::core::v1::{LimitRange, PersistentVolumeClaim, PodSpec};
use serde::Deserialize as _;
use serde_json::Value;

use super::{ApiError, Attempt, Engine, Operation, is_pod, object::is_terminating};
use crate::admission::{index::Part, limits};

impl Engine {
    /// Gives a new pod's containers what the limit ranges of its namespace say.
    pub(super) fn complete_by_limits(&self, attempt: &Attempt<'_>, pod: &mut Value) -> Result<(), ApiError> {
        let ranges = self.limit_ranges(attempt.namespace)?;
        if !ranges.is_empty() {
            limits::complete(pod, &ranges);
        }
        Ok(())
    }

    /// Refuses what asks for more or less than the limit ranges of its namespace say.
    pub(super) fn check_limits(&self, attempt: &Attempt<'_>, new: &Value) -> Result<(), ApiError> {
        let resource = attempt.asked.stored();
        let is_limited = matches!(
            (resource.group, resource.kind, attempt.operation, attempt.subresource),
            ("", "Pod", Operation::Create, "")
                | ("", "Pod", Operation::Update, "resize")
                | ("", "PersistentVolumeClaim", _, "")
        );
        if !is_limited || attempt.old.is_some_and(is_terminating) {
            return Ok(());
        }
        let ranges = self.limit_ranges(attempt.namespace)?;
        if ranges.is_empty() {
            return Ok(());
        }
        let fault = if is_pod(resource) {
            // Objects are valid when they come here.
            PodSpec::deserialize(&new["spec"])
                .ok()
                .and_then(|spec| limits::check_pod(&spec, &ranges))
        } else {
            PersistentVolumeClaim::deserialize(new)
                .ok()
                .and_then(|claim| limits::check_claim(&claim, &ranges))
        };
        match fault {
            None => Ok(()),
            Some(fault) => Err(ApiError::forbidden(attempt.target(), fault)),
        }
    }

    fn limit_ranges(&self, namespace: &str) -> Result<Vec<LimitRange>, ApiError> {
        let stored = self.rules(Part::LimitRange, namespace)?;
        let ranges = stored.iter().filter_map(|range| LimitRange::deserialize(&**range).ok());
        Ok(ranges.collect())
    }
}
