//! Horizontal pod autoscalers: version 1 knows one target, the use of the CPU. What else there is, it carries in
//! annotations, so that nothing is lost on the way through it.

use serde_json::{Map, Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

pub(super) fn v2_to_v1(object: &mut Value) {
    let metrics = take(object, "spec", "metrics");
    let mut others = Vec::new();
    let mut percent = None;
    for metric in metrics.as_array().into_iter().flatten() {
        match cpu_percent(metric) {
            Some(target) if percent.is_none() => percent = Some(target),
            _ => others.push(metric.clone()),
        }
    }
    if let Some(percent) = percent {
        object["spec"]["targetCPUUtilizationPercentage"] = json!(percent);
    }
    let current = take(object, "status", "currentMetrics");
    let used = current.as_array().into_iter().flatten().find_map(|metric| {
        let is_cpu = metric["type"] == "Resource" && metric["resource"]["name"] == "cpu";
        metric["resource"]["current"]["averageUtilization"]
            .as_i64()
            .filter(|_| is_cpu)
    });
    if let Some(used) = used {
        object["status"]["currentCPUUtilizationPercentage"] = json!(used);
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        // Version 1 always tells both.
        for count in ["currentReplicas", "desiredReplicas"] {
            status.entry(count).or_insert_with(|| json!(0));
        }
    }
    let carried = [
        (METRICS, Value::Array(others)),
        (CURRENT_METRICS, current),
        (CONDITIONS, take(object, "status", "conditions")),
        (BEHAVIOR, take(object, "spec", "behavior")),
    ];
    for (name, value) in carried {
        if !is_nothing(&value) {
            annotations(object).insert(name.to_owned(), Value::from(value.to_string()));
        }
    }
}

pub(super) fn v1_to_v2(object: &mut Value) {
    let mut metrics = Vec::new();
    if let Some(percent) = take(object, "spec", "targetCPUUtilizationPercentage").as_i64() {
        metrics.push(cpu(
            "target",
            &json!({ "type": "Utilization", "averageUtilization": percent }),
        ));
    }
    if let Value::Array(others) = take_annotation(object, METRICS) {
        metrics.extend(others);
    }
    if !metrics.is_empty() {
        object["spec"]["metrics"] = Value::Array(metrics);
    }
    let used = take(object, "status", "currentCPUUtilizationPercentage").as_i64();
    let current = match take_annotation(object, CURRENT_METRICS) {
        // They say more than the one number.
        current @ Value::Array(_) => current,
        _ => match used {
            Some(used) => json!([cpu("current", &json!({ "averageUtilization": used }))]),
            None => Value::Null,
        },
    };
    let carried = [
        ("status", "currentMetrics", current),
        ("status", "conditions", take_annotation(object, CONDITIONS)),
        ("spec", "behavior", take_annotation(object, BEHAVIOR)),
    ];
    for (part, field, value) in carried {
        if !value.is_null() {
            object[part][field] = value;
        }
    }
}

fn cpu(part: &str, value: &Value) -> Value {
    json!({ "type": "Resource", "resource": { "name": "cpu", part: value } })
}

/// The target of a metric that version 1 can express.
fn cpu_percent(metric: &Value) -> Option<i64> {
    if metric["type"] != "Resource" || metric["resource"]["name"] != "cpu" {
        return None;
    }
    metric["resource"]["target"]["averageUtilization"].as_i64()
}

fn take(object: &mut Value, part: &str, field: &str) -> Value {
    object
        .get_mut(part)
        .and_then(Value::as_object_mut)
        .and_then(|part| part.remove(field))
        .unwrap_or_default()
}

/// What an annotation carries; null if it carries nothing that can be read. It is gone afterwards.
fn take_annotation(object: &mut Value, name: &str) -> Value {
    let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return Value::Null;
    };
    let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) else {
        return Value::Null;
    };
    let carried = annotations.remove(name);
    if annotations.is_empty() {
        meta.remove("annotations");
    }
    carried
        .and_then(|text| serde_json::from_str(text.as_str()?).ok())
        .unwrap_or_default()
}

fn annotations(object: &mut Value) -> &mut Map<String, Value> {
    let slot = &mut object["metadata"]["annotations"];
    if !slot.is_object() {
        *slot = json!({});
    }
    slot.as_object_mut().expect("made an object just above")
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}
