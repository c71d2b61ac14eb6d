//! What rules add to objects, and what they refuse: limit ranges, Pod Security levels, classes.
//!
//! Never here: the decisions (`admission`).

use api::{
    inert,
    k8s_openapi::{
        api::core::v1::{LimitRange, PersistentVolumeClaim, Pod, PodSpec},
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    },
    resource,
};
use serde::Deserialize as _;
use serde_json::Value;

use super::{ApiError, Attempt, Engine, Operation, invalid, is_namespace, is_pod, object::is_terminating};
use crate::{
    admission::{
        self, classes,
        index::Part,
        limits,
        pod_security::{self, Level, LevelVersion, Policy},
    },
    store::ListRequest,
};

/// Pods of a namespace that are looked at when its level changes, as in Kubernetes: who changes it is to be warned, and
/// waits for that.
const CHECKED_PODS_MAX: usize = 3000;
/// Subresources of pods that do not change what runs in them.
const HARMLESS_SUBRESOURCES: [&str; 3] = ["binding", "eviction", "status"];

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

    /// Refuses pods that violate the standard that their namespace enforces; warns of those that violate the one that
    /// it warns of, also where they are made from a template.
    pub(super) fn check_pod_security(&self, attempt: &Attempt<'_>, new: &Value) -> Result<(), ApiError> {
        let resource = attempt.asked.stored();
        if is_namespace(resource) {
            return match attempt.subresource {
                "" => self.check_levels(attempt, new),
                _ => Ok(()),
            };
        }
        let is_pod = is_pod(resource);
        let is_harmless = if is_pod {
            HARMLESS_SUBRESOURCES.contains(&attempt.subresource)
                || attempt.old.is_some_and(|old| !pod_security::is_significant(old, new))
        } else {
            !attempt.subresource.is_empty()
        };
        let Some(place) = inert::pod_spec(resource).filter(|_| !is_harmless) else {
            return Ok(());
        };
        let Some(namespace) = self.rule(Part::Namespace, "", attempt.namespace)? else {
            return Ok(());
        };
        let (policy, _) = Policy::of(&namespace);
        let violations = |standard: LevelVersion| {
            let spec = PodSpec::deserialize(new.pointer(&place)?).ok()?;
            let metadata = new.pointer(place.strip_suffix("/spec")?);
            let metadata = metadata.and_then(|metadata| metadata.get("metadata"));
            let metadata = metadata.and_then(|metadata| ObjectMeta::deserialize(metadata).ok());
            let found = pod_security::violations(standard, &metadata.unwrap_or_default(), &spec);
            (!found.is_empty()).then_some(found)
        };
        if is_pod
            && policy.enforce.level != Level::Privileged
            && let Some(found) = violations(policy.enforce)
        {
            let detail = format!("violates PodSecurity \"{}\": {found}", policy.enforce);
            return Err(ApiError::forbidden(attempt.target(), detail));
        }
        if policy.warn.level != Level::Privileged
            && let Some(found) = violations(policy.warn)
        {
            let warning = format!("would violate PodSecurity \"{}\": {found}", policy.warn);
            attempt.warnings.push(warning);
        }
        Ok(())
    }

    /// Refuses labels that name no standard, and warns of pods that a new one would refuse.
    fn check_levels(&self, attempt: &Attempt<'_>, namespace: &Value) -> Result<(), ApiError> {
        let (policy, faults) = Policy::of(namespace);
        let before = attempt.old.map(Policy::of);
        let is_new = before.as_ref().is_none_or(|(_, before)| *before != faults);
        if !faults.is_empty() && is_new {
            return Err(invalid(attempt.target(), faults));
        }
        let Some((before, _)) = before.filter(|(before, _)| policy.is_tightened_from(before)) else {
            return Ok(());
        };
        tracing::debug!(namespace = attempt.name, from = %before.enforce, to = %policy.enforce, "pod security level");
        let pods = resource::by_path("", "v1", "pods").expect("the table has Pod");
        let request = ListRequest {
            collection: pods.collection(),
            namespace: Some(attempt.name.to_owned()),
            limit: Some(CHECKED_PODS_MAX),
            ..ListRequest::default()
        };
        let page = self.inner.store.list(&request).map_err(ApiError::Read)?;
        let total = page.items.len() + page.remaining;
        let checked: Vec<_> = page
            .items
            .iter()
            .filter_map(|stored| serde_json::from_slice::<Pod>(&stored.value).ok())
            .map(|pod| {
                let spec = pod.spec.unwrap_or_default();
                let found = pod_security::violations(policy.enforce, &pod.metadata, &spec);
                (pod.metadata.name.unwrap_or_default(), found)
            })
            .collect();
        let warnings = pod_security::warnings_of_existing(attempt.name, policy.enforce, &checked, total);
        attempt.warnings.extend(warnings);
        Ok(())
    }

    /// Gives a new object the classes that it does not name, and what the one that it names needs.
    pub(super) fn complete_by_classes(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<(), ApiError> {
        let resource = attempt.asked.stored();
        match (resource.group, resource.kind) {
            ("", "PersistentVolumeClaim") => {
                classes::give_storage_class(object, &self.rules(Part::StorageClass, "")?);
            }
            ("networking.k8s.io", "Ingress") => {
                classes::give_ingress_class(object, &self.rules(Part::IngressClass, "")?);
            }
            ("", "Pod") => {
                let name = object["spec"]["runtimeClassName"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                let class = self.rule(Part::RuntimeClass, "", &name)?;
                classes::complete_runtime(object, class.as_deref())
                    .map_err(|refusal| ApiError::forbidden(attempt.target(), refusal.to_string()))?;
            }
            ("", "Node") => admission::taint_new_node(object),
            _ => {}
        }
        Ok(())
    }

    /// Refuses that a claim grows whose class does not let it.
    pub(super) fn check_growth(&self, attempt: &Attempt<'_>, new: &Value) -> Result<(), ApiError> {
        let resource = attempt.asked.stored();
        let is_claim = resource.group.is_empty() && resource.kind == "PersistentVolumeClaim";
        let Some(old) = attempt.old.filter(|_| is_claim && attempt.subresource.is_empty()) else {
            return Ok(());
        };
        let class = self.rule(Part::StorageClass, "", classes::storage_class(old))?;
        match classes::growth_fault(old, new, class.as_deref()) {
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
