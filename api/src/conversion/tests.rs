//! Objects in one form and the other.

use serde_json::{Value, json};

use super::{from_stored, stored_field, to_stored};
use crate::resource::{Resource, by_path};

fn autoscalers() -> &'static Resource {
    by_path("autoscaling", "v1", "horizontalpodautoscalers").unwrap()
}

fn events() -> &'static Resource {
    by_path("events.k8s.io", "v1", "events").unwrap()
}

fn cpu(percent: i64) -> Value {
    json!({ "type": "Resource", "resource": {
        "name": "cpu", "target": { "type": "Utilization", "averageUtilization": percent },
    } })
}

#[test]
fn an_autoscaler_of_version_1_has_one_target() {
    let mut object = json!({
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "a" },
        "spec": { "maxReplicas": 3, "targetCPUUtilizationPercentage": 50 },
    });
    let given = object.clone();
    to_stored(autoscalers(), &mut object);
    assert_eq!(
        object,
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": "a" },
            "spec": { "maxReplicas": 3, "metrics": [cpu(50)] },
        })
    );
    from_stored(autoscalers(), &mut object);
    assert_eq!(object, given);
}

#[test]
fn what_version_1_cannot_say_goes_through_annotations() {
    let memory = json!({ "type": "Resource", "resource": {
        "name": "memory", "target": { "type": "AverageValue", "averageValue": "1Gi" },
    } });
    let stored = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": { "name": "a", "annotations": { "own": "1" } },
        "spec": { "maxReplicas": 3, "metrics": [cpu(50), memory], "behavior": { "scaleUp": { "selectPolicy": "Max" } } },
        "status": {
            "currentReplicas": 1,
            "desiredReplicas": 2,
            "currentMetrics": [{ "type": "Resource", "resource": {
                "name": "cpu", "current": { "averageUtilization": 40, "averageValue": "4m" },
            } }],
            "conditions": [{ "type": "AbleToScale", "status": "True" }],
        },
    });
    let mut object = stored.clone();
    from_stored(autoscalers(), &mut object);
    assert_eq!(
        object["spec"],
        json!({ "maxReplicas": 3, "targetCPUUtilizationPercentage": 50 })
    );
    assert_eq!(
        object["status"],
        json!({ "currentReplicas": 1, "desiredReplicas": 2, "currentCPUUtilizationPercentage": 40 })
    );
    let annotations = object["metadata"]["annotations"].as_object().unwrap();
    assert_eq!(
        annotations.keys().collect::<Vec<_>>(),
        [
            "autoscaling.alpha.kubernetes.io/behavior",
            "autoscaling.alpha.kubernetes.io/conditions",
            "autoscaling.alpha.kubernetes.io/current-metrics",
            "autoscaling.alpha.kubernetes.io/metrics",
            "own",
        ]
    );
    to_stored(autoscalers(), &mut object);
    assert_eq!(object, stored, "nothing is lost on the way");
}

#[test]
fn events_differ_in_the_names_of_their_fields() {
    let stored = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": { "name": "e" },
        "involvedObject": { "kind": "Pod", "name": "p" },
        "message": "m",
        "reason": "r",
        "type": "Normal",
        "count": 2,
        "source": { "component": "c" },
        "firstTimestamp": "2026-11-25T00:00:00Z",
        "lastTimestamp": "2026-11-25T00:00:00Z",
        "reportingComponent": "c",
        "reportingInstance": "i",
    });
    let mut object = stored.clone();
    from_stored(events(), &mut object);
    assert_eq!(
        object,
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "name": "e" },
            "regarding": { "kind": "Pod", "name": "p" },
            "note": "m",
            "reason": "r",
            "type": "Normal",
            "deprecatedCount": 2,
            "deprecatedSource": { "component": "c" },
            "deprecatedFirstTimestamp": "2026-11-25T00:00:00Z",
            "deprecatedLastTimestamp": "2026-11-25T00:00:00Z",
            "reportingController": "c",
            "reportingInstance": "i",
        })
    );
    to_stored(events(), &mut object);
    assert_eq!(object, stored);
    let rows = [
        ("regarding.name", "involvedObject.name"),
        ("reportingController", "reportingComponent"),
        ("type", "type"),
        ("metadata.name", "metadata.name"),
    ];
    for (given, expected) in rows {
        assert_eq!(stored_field(events(), given), expected);
    }
}

#[test]
fn other_kinds_and_broken_objects_stay_as_they_are() {
    let pods = by_path("", "v1", "pods").unwrap();
    let mut pod = json!({ "spec": { "metrics": [] } });
    to_stored(pods, &mut pod);
    from_stored(pods, &mut pod);
    assert_eq!(pod, json!({ "spec": { "metrics": [] } }));
    for broken in [
        json!(null),
        json!([]),
        json!({ "spec": 1, "metadata": [], "status": "x" }),
    ] {
        for row in [autoscalers(), events()] {
            to_stored(row, &mut broken.clone());
            from_stored(row, &mut broken.clone());
        }
    }
}
