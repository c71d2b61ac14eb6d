//! Limit ranges and quotas.

use serde_json::{Value, json};

use super::{Change, check_rows, update_rows};

fn range(limit: Value) -> Vec<Change> {
    vec![("/spec/limits/0", limit)]
}

#[test]
fn limits_stand_in_order() {
    let good = json!({
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"limits": [{"type": "Container", "min": {"cpu": "1"}, "defaultRequest": {"cpu": "1"},
            "default": {"cpu": "2"}, "max": {"cpu": "3"}, "maxLimitRequestRatio": {"cpu": "2"}}]},
    });
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            range(json!({"type": "Some"})),
            &["spec.limits[0].type: Invalid value: \"Some\": must be a standard limit type or fully qualified"],
        ),
        (
            vec![("/spec/limits/1", json!({"type": "Container"}))],
            &["spec.limits[1].type: Duplicate value: \"Container\""],
        ),
        (
            range(json!({"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}})),
            &["spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1"],
        ),
        (
            range(json!({"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}})),
            &[
                "spec.limits[0].defaultRequest[cpu]: Invalid value: \"2\": default request value 2 is greater than \
               default limit value 1",
            ],
        ),
        (
            range(json!({"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}})),
            &["spec.limits[0].default[cpu]: Invalid value: \"1\": default value 2 is greater than max value 1"],
        ),
        (
            range(json!({"type": "Pod", "default": {"cpu": "1"}})),
            &["spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'"],
        ),
        (
            range(json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "500m"}})),
            &["spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"500m\": ratio 500m is less than 1"],
        ),
        (
            range(json!({"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"},
                "maxLimitRequestRatio": {"cpu": "3"}})),
            &[
                "spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: \"3\": ratio 3 is greater than max/min = 2.000000",
            ],
        ),
        (
            range(json!({"type": "PersistentVolumeClaim", "max": {"cpu": "1"}})),
            &["spec.limits[0].limits: Required value: either minimum or maximum storage value is required"],
        ),
        (
            range(json!({"type": "Container", "max": {"pods": "1"}})),
            &["spec.limits[0].max[pods]: Invalid value: \"pods\": must be a standard resource for containers"],
        ),
    ];
    check_rows("", "limitranges", &good, &rows);
}

#[test]
fn quotas_count_what_is_known_in_scopes_that_fit() {
    let good = json!({
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"hard": {"cpu": "1", "pods": "2", "count/deployments.apps": "3", "requests.nvidia.com/gpu": "1"}},
    });
    let hard = |name: &str, amount: &str| -> Vec<Change> { vec![("/spec/hard", json!({name: amount}))] };
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            hard("sheep", "1"),
            &[
                "spec.hard[sheep]: Invalid value: \"sheep\": must be a standard resource type or fully qualified",
                "spec.hard[sheep]: Invalid value: \"sheep\": must be a standard resource for quota",
            ],
        ),
        (
            hard("pods", "1500m"),
            &["spec.hard[pods]: Invalid value: \"1500m\": must be an integer"],
        ),
        (
            hard("cpu", "-1"),
            &["spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"],
        ),
        (
            vec![
                ("/spec/hard", json!({"secrets": "1"})),
                ("/spec/scopes", json!(["Terminating"])),
            ],
            &["spec.scopes: Invalid value: [\"Terminating\"]: unsupported scope applied to resource"],
        ),
        (
            vec![
                ("/spec/hard", json!({"pods": "1"})),
                ("/spec/scopes", json!(["BestEffort", "NotBestEffort"])),
            ],
            &["spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes"],
        ),
        (
            vec![("/spec/hard", json!({"pods": "1"})), ("/spec/scopes", json!(["Some"]))],
            &["spec.scopes: Invalid value: [\"Some\"]: unsupported scope"],
        ),
        (
            vec![(
                "/spec/scopeSelector",
                json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}),
            )],
            &["spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator`"],
        ),
        (
            vec![
                ("/spec/hard", json!({"pods": "1"})),
                (
                    "/spec/scopeSelector",
                    json!({"matchExpressions": [
                {"scopeName": "BestEffort", "operator": "DoesNotExist"}]}),
                ),
            ],
            &[
                "spec.scopeSelector.matchExpressions.operator: Invalid value: \"DoesNotExist\": must be 'Exist' when scope",
            ],
        ),
    ];
    check_rows("", "resourcequotas", &good, &rows);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (hard("cpu", "5"), &[]),
        (
            vec![
                ("/spec/hard", json!({"pods": "1"})),
                ("/spec/scopes", json!(["BestEffort"])),
            ],
            &["spec.scopes: Invalid value: [\"BestEffort\"]: field is immutable"],
        ),
    ];
    update_rows("", "resourcequotas", &good, &rows);
}
