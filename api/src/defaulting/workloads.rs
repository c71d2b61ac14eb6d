//! Defaults of what keeps pods running.

use serde_json::{Map, Value, json};

use super::{
    fields::{child, items, set_default},
    pod, volumes,
};

/// The template of pods in a workload, or in an object of its own.
pub(super) fn pod_template(owner: &mut Map<String, Value>) {
    if let Some(spec) = child(owner, "template").and_then(|template| child(template, "spec")) {
        pod::spec(spec);
    }
}

pub(super) fn replica_set(object: &mut Map<String, Value>) {
    if let Some(spec) = child(object, "spec") {
        set_default(spec, "replicas", 1);
        pod_template(spec);
    }
}

/// A controller that does not say whom it looks after looks after pods with the labels of its template.
pub(super) fn replication_controller(object: &mut Map<String, Value>) {
    let labels = object
        .get("spec")
        .and_then(|spec| spec.pointer("/template/metadata/labels"))
        .filter(|labels| has_entries(labels))
        .cloned();
    if let Some(labels) = labels {
        if let Some(spec) = child(object, "spec")
            && !spec.get("selector").is_some_and(has_entries)
        {
            spec.insert("selector".to_owned(), labels.clone());
        }
        labels_of_template(object, labels);
    }
    replica_set(object);
}

/// An object without labels has those of its template.
pub(super) fn labels_of_template(object: &mut Map<String, Value>, labels: Value) {
    if let Some(meta) = child(object, "metadata")
        && !meta.get("labels").is_some_and(has_entries)
    {
        meta.insert("labels".to_owned(), labels);
    }
}

pub(super) fn has_entries(value: &Value) -> bool {
    value.as_object().is_some_and(|map| !map.is_empty())
}

pub(super) fn deployment(object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else { return };
    set_default(spec, "replicas", 1);
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "progressDeadlineSeconds", 600);
    rolling(
        spec,
        "strategy",
        &[("maxUnavailable", json!("25%")), ("maxSurge", json!("25%"))],
    );
    pod_template(spec);
}

pub(super) fn daemon_set(object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else { return };
    set_default(spec, "revisionHistoryLimit", 10);
    rolling(
        spec,
        "updateStrategy",
        &[("maxUnavailable", json!(1)), ("maxSurge", json!(0))],
    );
    pod_template(spec);
}

pub(super) fn stateful_set(object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else { return };
    set_default(spec, "podManagementPolicy", "OrderedReady");
    set_default(spec, "replicas", 1);
    set_default(spec, "revisionHistoryLimit", 10);
    set_default(spec, "updateStrategy", json!({}));
    if let Some(strategy) = child(spec, "updateStrategy") {
        if !strategy.get("type").is_some_and(|kind| kind != "" && !kind.is_null()) {
            strategy.insert("type".to_owned(), json!("RollingUpdate"));
            set_default(strategy, "rollingUpdate", json!({}));
        }
        if strategy["type"] == "RollingUpdate"
            && let Some(rolling) = child(strategy, "rollingUpdate")
        {
            set_default(rolling, "partition", 0);
            set_default(rolling, "maxUnavailable", 1);
        }
    }
    set_default(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    if let Some(policy) = child(spec, "persistentVolumeClaimRetentionPolicy") {
        set_default(policy, "whenDeleted", "Retain");
        set_default(policy, "whenScaled", "Retain");
    }
    for claim in items(spec, "volumeClaimTemplates") {
        set_default(claim, "apiVersion", "v1");
        set_default(claim, "kind", "PersistentVolumeClaim");
        volumes::claim(claim);
    }
    pod_template(spec);
}

/// A strategy of replacement that rolls unless it says otherwise, with these amounts unless it says others.
fn rolling(spec: &mut Map<String, Value>, field: &str, amounts: &[(&str, Value)]) {
    set_default(spec, field, json!({}));
    let Some(strategy) = child(spec, field) else { return };
    set_default(strategy, "type", "RollingUpdate");
    if strategy["type"] != "RollingUpdate" {
        return;
    }
    set_default(strategy, "rollingUpdate", json!({}));
    if let Some(rolling) = child(strategy, "rollingUpdate") {
        for (name, amount) in amounts {
            set_default(rolling, name, amount.clone());
        }
    }
}
