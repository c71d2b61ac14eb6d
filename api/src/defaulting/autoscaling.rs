//! Defaults of horizontal pod autoscalers, in the form of version 2, which is the stored one.

use serde_json::{Map, Value, json};

use super::fields::{child, set_default};

/// Share of their requested CPU, in percent, that pods shall use, where nothing else is asked for.
const CPU_PERCENT: i64 = 80;
/// Seconds over which a default policy counts.
const PERIOD_S: i64 = 15;

pub(super) fn autoscaler(object: &mut Map<String, Value>) {
    let Some(spec) = child(object, "spec") else { return };
    set_default(spec, "minReplicas", 1);
    if spec.get("metrics").is_none_or(is_empty_list) {
        let target = json!({ "type": "Utilization", "averageUtilization": CPU_PERCENT });
        spec.insert(
            "metrics".to_owned(),
            json!([{ "type": "Resource", "resource": { "name": "cpu", "target": target } }]),
        );
    }
    if let Some(behavior) = child(spec, "behavior") {
        let up = json!([
            { "type": "Pods", "value": 4, "periodSeconds": PERIOD_S },
            { "type": "Percent", "value": 100, "periodSeconds": PERIOD_S },
        ]);
        rules(behavior, "scaleUp", up);
        if let Some(up) = child(behavior, "scaleUp") {
            set_default(up, "stabilizationWindowSeconds", 0);
        }
        let down = json!([{ "type": "Percent", "value": 100, "periodSeconds": PERIOD_S }]);
        rules(behavior, "scaleDown", down);
    }
}

fn rules(behavior: &mut Map<String, Value>, direction: &str, policies: Value) {
    set_default(behavior, direction, json!({}));
    if let Some(rules) = child(behavior, direction) {
        set_default(rules, "selectPolicy", "Max");
        // A list that is given, even an empty one, is kept for validation to judge.
        set_default(rules, "policies", policies);
    }
}

fn is_empty_list(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}
