//! What rules add to objects, and what they refuse: limit ranges, Pod Security levels, classes.
//!
//! Never here: the decisions (`admission`).

use api::{
    inert,
    k8s_openapi::{
        api::core::v1::{LimitRange, PersistentVolumeClaim, PodSpec},
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    },
};
use reconcile::protection::{CLAIM_FINALIZER, VOLUME_FINALIZER};
use serde::Deserialize as _;
use serde_json::Value;

use super::{
    ApiError, Attempt, Engine, Operation, invalid, is_namespace, is_pod,
    object::{self, is_terminating},
};
use crate::{
    admission::{
        self, classes,
        index::Part,
        limits,
        pod_security::{self, Existing, Level, LevelVersion, Policy, Violations},
    },
    store::ListRequest,
};

/// Objects of one kind in a namespace that are looked at when its level changes, as many as Kubernetes looks at pods: who
/// changes it is to be warned, and waits for that.
const CHECKED_OBJECTS_MAX: usize = 3000;
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
            if standard.level == Level::Privileged {
                return None;
            }
            let found = violations_at(&place, new, standard)?;
            (!found.is_empty()).then_some(found)
        };
        if is_pod {
            let enforced = policy.enforce.to_string();
            attempt.annotations.put(pod_security::ENFORCED_ANNOTATION, enforced);
        }
        let would = |standard: LevelVersion| {
            let found = violations(standard)?;
            Some(format!("would violate PodSecurity \"{standard}\": {found}"))
        };
        if let Some(words) = would(policy.audit) {
            attempt.annotations.put(pod_security::VIOLATIONS_ANNOTATION, words);
        }
        if is_pod && let Some(found) = violations(policy.enforce) {
            let detail = format!("violates PodSecurity \"{}\": {found}", policy.enforce);
            return Err(ApiError::forbidden(attempt.target(), detail));
        }
        if let Some(words) = would(policy.warn) {
            attempt.warnings.push(words);
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
        let (mut pods, mut workloads) = (Checked::default(), Checked::default());
        let kinds = self.registry().kinds();
        // A kind that is shown in several versions is stored once.
        for row in kinds.rows().iter().filter(|row| row.stored_as.is_none()) {
            let Some(place) = inert::pod_spec(row) else { continue };
            let page = self
                .inner
                .store
                .list(&ListRequest {
                    collection: row.collection(),
                    namespace: Some(attempt.name.to_owned()),
                    limit: Some(CHECKED_OBJECTS_MAX),
                    counts_rest: true,
                    ..ListRequest::default()
                })
                .map_err(ApiError::Read)?;
            let checked = if is_pod(row) { &mut pods } else { &mut workloads };
            checked.total += page.items.len() + page.remaining.unwrap_or_default();
            for stored in &page.items {
                let object = object::decode(stored)?;
                if !is_pod(row) && is_controlled(&object) {
                    // Who controls it is told of.
                    checked.total -= 1;
                    continue;
                }
                let name = match (is_pod(row), row.group) {
                    (true, _) => stored.key.name.clone(),
                    (false, "") => format!("{}/{}", row.plural, stored.key.name),
                    (false, group) => format!("{}.{group}/{}", row.plural, stored.key.name),
                };
                if let Some(found) = violations_at(&place, &object, policy.enforce) {
                    checked.found.push((name, found));
                }
            }
        }
        for (what, checked) in [(Existing::Pods, pods), (Existing::Workloads, workloads)] {
            let Checked { found, total } = checked;
            let warnings = pod_security::warnings_of_existing(what, attempt.name, policy.enforce, &found, total);
            attempt.warnings.extend(warnings);
        }
        Ok(())
    }

    /// Gives a new object the classes that it does not name, what the one that it names needs, and what keeps it.
    pub(super) fn complete_by_classes(&self, attempt: &Attempt<'_>, object: &mut Value) -> Result<(), ApiError> {
        let resource = attempt.asked.stored();
        match (resource.group, resource.kind) {
            ("", "PersistentVolumeClaim") => {
                classes::give_storage_class(object, &self.rules(Part::StorageClass, "")?);
                admission::protect_in_use(object, CLAIM_FINALIZER);
            }
            ("", "PersistentVolume") => admission::protect_in_use(object, VOLUME_FINALIZER),
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

/// What was looked at in a namespace, by name, and of how many.
#[derive(Default)]
struct Checked {
    found: Vec<(String, Violations)>,
    total: usize,
}

/// What violates the standard in the pod, or in the template of pods, that an object has at a place.
fn violations_at(place: &str, object: &Value, standard: LevelVersion) -> Option<Violations> {
    let spec = PodSpec::deserialize(object.pointer(place)?).ok()?;
    let metadata = object.pointer(place.strip_suffix("/spec")?);
    let metadata = metadata.and_then(|metadata| metadata.get("metadata"));
    let metadata = metadata.and_then(|metadata| ObjectMeta::deserialize(metadata).ok());
    Some(pod_security::violations(standard, &metadata.unwrap_or_default(), &spec))
}

fn is_controlled(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    owners.into_iter().flatten().any(|owner| owner["controller"] == true)
}
