//! What the objects say, in one place: is a pod ready, whose is it, does a taint keep it away.
//!
//! Never here: a decision about what to do. Source: Kubernetes API reference (v1.36).

use std::time::Duration;

use api::{
    Kind, Object, Timestamp,
    k8s_openapi::{
        api::core::v1::{Node, NodeCondition, Pod, PodCondition},
        apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time},
    },
    object::Typed,
};

/// `now` as objects carry it: whole seconds.
pub(crate) fn stamp(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).expect("a second of an existing timestamp is in range"))
}

/// Time from `since` to `now`, zero if `since` lies ahead.
pub(crate) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// True once deletion was asked for.
pub(crate) fn is_terminating(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_some()
}

/// `metadata.name`, empty if unset.
pub(crate) fn name(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

/// `metadata.namespace`, empty for cluster scope.
pub(crate) fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or_default()
}

/// `metadata.uid`, empty before the API server gave one.
pub(crate) fn uid(metadata: &ObjectMeta) -> &str {
    metadata.uid.as_deref().unwrap_or_default()
}

/// A label's value.
pub(crate) fn label<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// An annotation's value.
pub(crate) fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// The owner reference with `controller: true`; at most one exists.
pub(crate) fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .iter()
        .flatten()
        .find(|owner| owner.controller == Some(true))
}

/// A reference that makes `owner` the controller of whatever carries it.
pub(crate) fn controlled_by<T: Typed>(owner: &ObjectMeta) -> OwnerReference {
    OwnerReference {
        api_version: T::KIND.api_version(),
        kind: T::KIND.name().to_owned(),
        name: name(owner).to_owned(),
        uid: uid(owner).to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The kind that an owner reference speaks of, if planners know it. The version does not matter.
pub(crate) fn referenced_kind(owner: &OwnerReference) -> Option<Kind> {
    let group = owner.api_version.rsplit_once('/').map_or("", |(group, _)| group);
    Kind::by_name(&owner.kind).filter(|kind| kind.group() == group)
}

/// The object's own finalizers.
pub(crate) fn has_finalizer(object: &Object, finalizer: &str) -> bool {
    object
        .metadata()
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == finalizer)
}

/// `status.phase`, `Pending` if there is none yet.
pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .filter(|phase| !phase.is_empty())
        .unwrap_or("Pending")
}

/// True when the pod's containers have ended for good.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Counts toward a controller's replicas: neither finished nor terminating.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_terminating(&pod.metadata)
}

/// The node the pod is bound to.
pub(crate) fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

/// A condition of the pod.
pub(crate) fn pod_condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status
        .as_ref()?
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind)
}

/// Its `Ready` condition is true.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod_condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// Since when the pod is ready, if it is.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    pod_condition(pod, "Ready")
        .filter(|condition| condition.status == "True")?
        .last_transition_time
        .as_ref()
        .map(|time| time.0)
}

/// How long until the pod has been ready for `min_ready`; `None` if it is not ready.
pub(crate) fn available_in(pod: &Pod, min_ready: Duration, now: Timestamp) -> Option<Duration> {
    if !is_ready(pod) {
        return None;
    }
    if min_ready.is_zero() {
        return Some(Duration::ZERO);
    }
    let since = ready_since(pod)?;
    Some(min_ready.saturating_sub(elapsed(since, now)))
}

/// A count as statuses hold it: most of them leave zero out, and what the API server would drop must not look like a
/// difference to it.
pub(crate) fn nonzero(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

/// A condition of the node.
pub(crate) fn node_condition<'a>(node: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    node.status
        .as_ref()?
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind)
}

/// Sets a pod condition's status, reason and message; the transition time moves only when the status does.
/// True if anything changed.
pub(crate) fn set_pod_condition(pod: &mut Pod, mut wanted: PodCondition, now: Timestamp) -> bool {
    let conditions = pod
        .status
        .get_or_insert_default()
        .conditions
        .get_or_insert_with(Vec::new);
    let Some(present) = conditions.iter_mut().find(|present| present.type_ == wanted.type_) else {
        wanted.last_transition_time = Some(stamp(now));
        conditions.push(wanted);
        return true;
    };
    wanted.last_transition_time = if present.status == wanted.status {
        present.last_transition_time.clone()
    } else {
        Some(stamp(now))
    };
    wanted.last_probe_time = present.last_probe_time.clone();
    if wanted.observed_generation.is_none() {
        wanted.observed_generation = present.observed_generation;
    }
    if *present == wanted {
        return false;
    }
    *present = wanted;
    true
}
