//! Which objects a quota is about: its scopes.
//!
//! Source: Kubernetes, "Resource Quotas": "Quota scopes".

use std::collections::BTreeSet;

use api::k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, Pod, PodAffinityTerm, PodSpec, ResourceQuota, ScopedResourceSelectorRequirement,
};

use super::usage::Counted;
use crate::pod::{Qos, qos};

/// Whether the quota has scopes.
#[must_use]
pub fn is_scoped(quota: &ResourceQuota) -> bool {
    !requirements(quota).is_empty()
}

/// Whether all scopes of the quota are about the object. Kinds without scopes are in no scope.
#[must_use]
pub fn covers(quota: &ResourceQuota, item: Counted<'_>) -> bool {
    requirements(quota).iter().all(|requirement| match item {
        Counted::Pod(pod) => is_pod_in(pod, requirement),
        Counted::Claim(claim) => is_claim_in(claim, requirement),
        Counted::Service(_) | Counted::Other(_) => false,
    })
}

fn requirements(quota: &ResourceQuota) -> Vec<ScopedResourceSelectorRequirement> {
    let Some(spec) = &quota.spec else { return Vec::new() };
    let plain = spec
        .scopes
        .iter()
        .flatten()
        .map(|scope| ScopedResourceSelectorRequirement {
            scope_name: scope.clone(),
            operator: "Exists".to_owned(),
            values: None,
        });
    let selected = spec
        .scope_selector
        .iter()
        .flat_map(|selector| selector.match_expressions.iter().flatten().cloned());
    plain.chain(selected).collect()
}

fn is_pod_in(pod: &Pod, requirement: &ScopedResourceSelectorRequirement) -> bool {
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let is_terminating = spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0);
    match requirement.scope_name.as_str() {
        "Terminating" => is_terminating,
        "NotTerminating" => !is_terminating,
        "BestEffort" => qos(spec) == Qos::BestEffort,
        "NotBestEffort" => qos(spec) != Qos::BestEffort,
        "PriorityClass" => {
            let class = spec.priority_class_name.as_deref().filter(|class| !class.is_empty());
            selects(requirement, &class.into_iter().collect())
        }
        "CrossNamespacePodAffinity" => reaches_other_namespaces(spec),
        _ => false,
    }
}

fn is_claim_in(claim: &PersistentVolumeClaim, requirement: &ScopedResourceSelectorRequirement) -> bool {
    if requirement.scope_name != "VolumeAttributesClass" {
        return false;
    }
    let spec = claim.spec.as_ref();
    let status = claim.status.as_ref();
    let names = [
        spec.and_then(|spec| spec.volume_attributes_class_name.as_deref()),
        status.and_then(|status| status.current_volume_attributes_class_name.as_deref()),
        status.and_then(|status| {
            status
                .modify_volume_status
                .as_ref()?
                .target_volume_attributes_class_name
                .as_deref()
        }),
    ];
    selects(
        requirement,
        &names.into_iter().flatten().filter(|name| !name.is_empty()).collect(),
    )
}

/// Whether one of the names satisfies the requirement; without names, their absence.
fn selects(requirement: &ScopedResourceSelectorRequirement, names: &BTreeSet<&str>) -> bool {
    let is_listed = |name: &&str| requirement.values.iter().flatten().any(|value| value == name);
    match requirement.operator.as_str() {
        "Exists" => !names.is_empty(),
        "DoesNotExist" => names.is_empty(),
        "In" => names.iter().any(is_listed),
        "NotIn" => names.is_empty() || names.iter().any(|name| !is_listed(name)),
        _ => false,
    }
}

/// Whether some affinity between pods is about pods of other namespaces.
fn reaches_other_namespaces(spec: &PodSpec) -> bool {
    let reaches =
        |term: &PodAffinityTerm| term.namespace_selector.is_some() || term.namespaces.iter().flatten().next().is_some();
    let Some(affinity) = &spec.affinity else { return false };
    let near = affinity.pod_affinity.iter().any(|near| {
        near.required_during_scheduling_ignored_during_execution
            .iter()
            .flatten()
            .any(reaches)
            || near
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
                .any(|weighted| reaches(&weighted.pod_affinity_term))
    });
    let far = affinity.pod_anti_affinity.iter().any(|far| {
        far.required_during_scheduling_ignored_during_execution
            .iter()
            .flatten()
            .any(reaches)
            || far
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
                .any(|weighted| reaches(&weighted.pod_affinity_term))
    });
    near || far
}
