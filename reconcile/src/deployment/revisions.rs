//! Which ReplicaSets a deployment has, which is the one of its present template, and what they are annotated with.
//!
//! Source: Kubernetes' annotations `deployment.kubernetes.io/*` and the label `pod-template-hash`.

use api::k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet, ReplicaSetSpec},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use serde_json::Value;

use super::Subject;
use crate::{facts, naming::Hash, world::World};

pub(super) const HASH_LABEL: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations of a deployment that its sets do not inherit.
const NOT_INHERITED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

/// Characters of the template's hash.
const HASH_LENGTH: usize = 10;

/// A deployment's ReplicaSets.
pub(super) struct Found<'a> {
    /// The one of the present template; the oldest if there are several.
    pub(super) new: Option<&'a ReplicaSet>,
    /// All others, oldest first.
    pub(super) old: Vec<&'a ReplicaSet>,
}

impl<'a> Found<'a> {
    pub(super) fn of(world: &'a World, subject: &Subject<'_>) -> Found<'a> {
        let mut sets: Vec<&ReplicaSet> = world
            .controlled_by::<ReplicaSet>(facts::uid(&subject.deployment.metadata))
            .collect();
        sets.sort_by(|a, b| {
            let age = |set: &ReplicaSet| set.metadata.creation_timestamp.as_ref().map(|time| time.0);
            age(a).cmp(&age(b)).then_with(|| a.metadata.name.cmp(&b.metadata.name))
        });
        let new = sets
            .iter()
            .position(|set| template_of(set).is_some_and(|template| is_same(template, &subject.spec.template)))
            .map(|at| sets.remove(at));
        Found { new, old: sets }
    }

    /// All sets, the new one first.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a ReplicaSet> + use<'_, 'a> {
        self.new.into_iter().chain(self.old.iter().copied())
    }
}

fn template_of(set: &ReplicaSet) -> Option<&PodTemplateSpec> {
    set.spec.as_ref()?.template.as_ref()
}

/// True if two templates make the same pods, the label of the hash aside.
fn is_same(one: &PodTemplateSpec, other: &PodTemplateSpec) -> bool {
    one == other || essence(one) == essence(other)
}

/// The template as JSON without the label of the hash and without what is empty: whether a list is absent or has no
/// items must not start a rollout.
fn essence(template: &PodTemplateSpec) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|metadata| metadata.labels.as_mut()) {
        labels.remove(HASH_LABEL);
    }
    let mut json = serde_json::to_value(template).expect("Kubernetes types have string keys and encode");
    prune_empty(&mut json);
    json
}

fn prune_empty(value: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune_empty);
            fields.retain(|_, field| !is_empty(field));
        }
        Value::Array(items) => items.iter_mut().for_each(prune_empty),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `spec.replicas` of a set.
pub(super) fn size(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

/// `status.availableReplicas` of a set.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.available_replicas)
        .unwrap_or(0)
}

/// The deployment's size when the set was last scaled.
pub(super) fn desired_when_scaled(set: &ReplicaSet) -> Option<i32> {
    facts::annotation(&set.metadata, DESIRED_REPLICAS)?.parse().ok()
}

/// The deployment's largest allowed number of pods when the set was last scaled.
pub(super) fn max_when_scaled(set: &ReplicaSet) -> Option<i32> {
    facts::annotation(&set.metadata, MAX_REPLICAS)?.parse().ok()
}

fn revision(metadata: &ObjectMeta) -> i64 {
    facts::annotation(metadata, REVISION)
        .and_then(|revision| revision.parse().ok())
        .unwrap_or(0)
}

/// The number that the new set has or will get.
fn new_revision(found: &Found<'_>) -> i64 {
    let after_old = found.old.iter().map(|set| revision(&set.metadata)).max().unwrap_or(0) + 1;
    found
        .new
        .map_or(after_old, |set| revision(&set.metadata).max(after_old))
}

/// The deployment with the number of its new set, if that is not what it says.
pub(super) fn revised(subject: &Subject<'_>, found: &Found<'_>) -> Option<Deployment> {
    found.new?;
    let wanted = new_revision(found).to_string();
    if facts::annotation(&subject.deployment.metadata, REVISION) == Some(wanted.as_str()) {
        return None;
    }
    let mut updated = subject.deployment.clone();
    updated
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(REVISION.to_owned(), wanted);
    Some(updated)
}

/// The set for the present template, with `size` pods.
pub(super) fn new_set(subject: &Subject<'_>, found: &Found<'_>, size: i32) -> ReplicaSet {
    let deployment = &subject.deployment.metadata;
    let hash = template_hash(subject);
    let mut template = subject.spec.template.clone();
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    let labels = labels.clone();
    let mut selector = subject.spec.selector.clone();
    selector
        .match_labels
        .get_or_insert_default()
        .insert(HASH_LABEL.to_owned(), hash.clone());
    let mut set = ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", facts::name(deployment))),
            namespace: deployment.namespace.clone(),
            labels: Some(labels),
            owner_references: Some(vec![facts::controlled_by::<Deployment>(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(size),
            min_ready_seconds: subject.spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    };
    annotate_new(subject, found, &mut set.metadata);
    annotate_size(subject, &mut set.metadata);
    set
}

/// The hash of the template: the end of the new set's name, and the label that keeps the sets' pods apart.
pub(super) fn template_hash(subject: &Subject<'_>) -> String {
    let template = essence(&subject.spec.template).to_string();
    let collisions = subject
        .deployment
        .status
        .as_ref()
        .and_then(|status| status.collision_count)
        .unwrap_or(0);
    Hash::new()
        .with(template)
        .with_number(u64::from(collisions.unsigned_abs()))
        .letters(HASH_LENGTH)
}

/// The set with this size and the annotations that belong to it; `None` if it is all that already.
pub(super) fn brought_to(subject: &Subject<'_>, found: &Found<'_>, set: &ReplicaSet, size: i32) -> Option<ReplicaSet> {
    let mut updated = set.clone();
    if let Some(spec) = updated.spec.as_mut() {
        spec.replicas = Some(size);
    }
    annotate_size(subject, &mut updated.metadata);
    if found.new.is_some_and(|new| new.metadata.uid == set.metadata.uid) {
        annotate_new(subject, found, &mut updated.metadata);
        if let Some(spec) = updated.spec.as_mut() {
            spec.min_ready_seconds = subject.spec.min_ready_seconds;
        }
    }
    (updated != *set).then_some(updated)
}

/// Whether the new set lacks annotations or settings that follow the deployment.
pub(super) fn is_behind(subject: &Subject<'_>, found: &Found<'_>, set: &ReplicaSet) -> bool {
    let mut metadata = set.metadata.clone();
    annotate_new(subject, found, &mut metadata);
    let min_ready = |seconds: Option<i32>| seconds.unwrap_or(0);
    metadata != set.metadata
        || set
            .spec
            .as_ref()
            .is_some_and(|spec| min_ready(spec.min_ready_seconds) != min_ready(subject.spec.min_ready_seconds))
}

fn annotate_size(subject: &Subject<'_>, metadata: &mut ObjectMeta) {
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(DESIRED_REPLICAS.to_owned(), subject.replicas.to_string());
    annotations.insert(MAX_REPLICAS.to_owned(), subject.max_total().to_string());
}

fn annotate_new(subject: &Subject<'_>, found: &Found<'_>, metadata: &mut ObjectMeta) {
    let former = facts::annotation(metadata, REVISION).map(str::to_owned);
    let number = new_revision(found);
    let annotations = metadata.annotations.get_or_insert_default();
    for (name, value) in subject.deployment.metadata.annotations.iter().flatten() {
        if !NOT_INHERITED.contains(&name.as_str()) {
            annotations.insert(name.clone(), value.clone());
        }
    }
    annotations.insert(REVISION.to_owned(), number.to_string());
    // A set that comes back (a rollback) remembers the numbers it had.
    if let Some(former) = former.filter(|former| *former != number.to_string()) {
        let history = annotations.entry(REVISION_HISTORY.to_owned()).or_default();
        if !history.is_empty() {
            history.push(',');
        }
        history.push_str(&former);
    }
}

/// Old sets without pods that the history limit has no room for, oldest revision first.
pub(super) fn beyond_history<'a>(
    subject: &Subject<'_>,
    found: &Found<'a>,
) -> impl Iterator<Item = &'a ReplicaSet> + use<'a> {
    let limit = usize::try_from(subject.spec.revision_history_limit.unwrap_or(10)).unwrap_or(0);
    let mut kept: Vec<&ReplicaSet> = found
        .old
        .iter()
        .copied()
        .filter(|set| !facts::is_terminating(&set.metadata))
        .collect();
    kept.sort_by_key(|set| revision(&set.metadata));
    let surplus = kept.len().saturating_sub(limit);
    kept.into_iter().take(surplus).filter(|set| {
        let status = set.status.as_ref();
        let observed = status.and_then(|status| status.observed_generation);
        size(set) == 0 && status.is_none_or(|status| status.replicas == 0) && observed >= set.metadata.generation
    })
}
