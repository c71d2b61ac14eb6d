//! Classes of priority and of runtimes.

use serde_json::json;

use super::{Change, check_rows, create, update_rows};
use crate::validation::SYSTEM_PRIORITY_CLASSES;

#[test]
fn the_highest_priorities_are_the_systems() {
    let good = json!({"metadata": {"name": "a"}, "value": 1000, "preemptionPolicy": "Never"});
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/value", json!(-5))], &[]),
        (
            vec![("/value", json!(1_000_000_001))],
            &["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"],
        ),
        (
            vec![("/metadata/name", json!("system-mine"))],
            &[
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. \
               error: system-mine is not a known system priority class",
            ],
        ),
        (
            vec![("/metadata/name", json!("system-node-critical"))],
            &[
                "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. \
               error: value of system-node-critical PriorityClass must be 2000001000",
            ],
        ),
        (
            vec![("/preemptionPolicy", json!("Sometimes"))],
            &[
                "preemptionPolicy: Unsupported value: \"Sometimes\": supported values: \"Never\", \"PreemptLowerPriority\"",
            ],
        ),
    ];
    check_rows("scheduling.k8s.io", "priorityclasses", &good, &rows);
    for (name, value, _) in SYSTEM_PRIORITY_CLASSES {
        let class = json!({"metadata": {"name": name}, "value": value});
        assert!(
            create("scheduling.k8s.io", "priorityclasses", &class).is_empty(),
            "{name}"
        );
    }
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/description", json!("x"))], &[]),
        (
            vec![("/value", json!(5))],
            &["value: Forbidden: may not be changed in an update."],
        ),
        (
            vec![("/preemptionPolicy", json!("PreemptLowerPriority"))],
            &["preemptionPolicy: Invalid value: \"PreemptLowerPriority\": field is immutable"],
        ),
    ];
    update_rows("scheduling.k8s.io", "priorityclasses", &good, &rows);
}

#[test]
fn runtime_classes_name_a_handler() {
    let good = json!({
        "metadata": {"name": "a"},
        "handler": "runc",
        "overhead": {"podFixed": {"cpu": "10m"}},
        "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "a", "operator": "Exists"}]},
    });
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/handler", json!("Run C"))],
            &["handler: Invalid value: \"Run C\": a lowercase RFC 1123 label"],
        ),
        (
            vec![("/overhead/podFixed", json!({"cpu": "-1"}))],
            &["overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"],
        ),
        (
            vec![("/scheduling/nodeSelector", json!({"-": "b"}))],
            &["scheduling.nodeSelector: Invalid value: \"-\""],
        ),
    ];
    check_rows("node.k8s.io", "runtimeclasses", &good, &rows);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![(
        vec![("/handler", json!("other"))],
        &["handler: Invalid value: \"other\": field is immutable"],
    )];
    update_rows("node.k8s.io", "runtimeclasses", &good, &rows);
}
