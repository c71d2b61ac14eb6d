//! Daemon sets, stateful sets, replication controllers, revisions, budgets, autoscalers, endpoints.

use serde_json::{Value, json};

use super::{Change, check_rows, complete, update_rows};

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    })
}

fn workload(group: &str, plural: &str) -> Value {
    let object = json!({
        "metadata": {"name": "a", "namespace": "ns"},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template()},
    });
    complete(group, plural, object)
}

#[test]
fn daemon_sets_roll_one_way_at_a_time() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/selector", json!({}))],
            &["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
        ),
        (
            vec![("/spec/template/metadata/labels/app", json!("y"))],
            &["spec.template.metadata.labels: Invalid value: {\"app\":\"y\"}: `selector` does not match template"],
        ),
        (
            vec![("/spec/updateStrategy/rollingUpdate/maxSurge", json!(1))],
            &["spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable"],
        ),
        (
            vec![("/spec/updateStrategy/rollingUpdate/maxUnavailable", json!(0))],
            &["spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"],
        ),
        (
            vec![("/spec/updateStrategy/rollingUpdate/maxUnavailable", json!("110%"))],
            &[
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: \"110%\": must not be greater than 100%",
            ],
        ),
        (
            vec![("/spec/updateStrategy/type", json!("Never"))],
            &["spec.updateStrategy: Unsupported value: "],
        ),
        (
            vec![("/spec/template/spec/restartPolicy", json!("Never"))],
            &["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""],
        ),
        (
            vec![("/spec/template/spec/activeDeadlineSeconds", json!(5))],
            &[
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported",
            ],
        ),
        (
            vec![("/spec/template/spec/ephemeralContainers", json!([{"name": "e"}]))],
            &["spec.template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in pod template"],
        ),
    ];
    check_rows("apps", "daemonsets", &workload("apps", "daemonsets"), &rows);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![(
        vec![
            ("/spec/selector/matchLabels", json!({"app": "y"})),
            ("/spec/template/metadata/labels", json!({"app": "y"})),
        ],
        &["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"y\"}}: field is immutable"],
    )];
    update_rows("apps", "daemonsets", &workload("apps", "daemonsets"), &rows);
}

#[test]
fn stateful_sets_keep_what_their_pods_rest_on() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/metadata/name", json!("a.b"))],
            &["metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label"],
        ),
        (
            vec![("/spec/podManagementPolicy", json!("Any"))],
            &["spec.podManagementPolicy: Invalid value: \"Any\": must be 'OrderedReady' or 'Parallel'"],
        ),
        (
            vec![("/spec/updateStrategy", json!({"type": "OnDelete", "rollingUpdate": {}}))],
            &["spec.updateStrategy.rollingUpdate: Invalid value: {}: only allowed for updateStrategy 'RollingUpdate'"],
        ),
        (
            vec![("/spec/updateStrategy/rollingUpdate/partition", json!(-1))],
            &["spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            vec![("/spec/updateStrategy/rollingUpdate/maxUnavailable", json!(0))],
            &["spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0"],
        ),
        (
            vec![("/spec/persistentVolumeClaimRetentionPolicy/whenScaled", json!("Lose"))],
            &[
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: \"Lose\": supported values: \
               \"Delete\", \"Retain\"",
            ],
        ),
        (
            vec![("/spec/ordinals", json!({"start": -1}))],
            &["spec.ordinals.start: Invalid value: -1"],
        ),
        (
            vec![("/spec/selector", Value::Null)],
            &["spec.selector: Required value"],
        ),
    ];
    check_rows("apps", "statefulsets", &workload("apps", "statefulsets"), &rows);
    let refused: &[&str] = &["spec: Forbidden: updates to statefulset spec for fields other than 'replicas'"];
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/spec/replicas", json!(5))], &[]),
        (vec![("/spec/template/spec/hostNetwork", json!(true))], &[]),
        (vec![("/spec/minReadySeconds", json!(5))], &[]),
        (vec![("/spec/revisionHistoryLimit", json!(5))], &[]),
        (vec![("/spec/serviceName", json!("s"))], refused),
        (vec![("/spec/podManagementPolicy", json!("Parallel"))], refused),
        (
            vec![(
                "/status",
                json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": 1}),
            )],
            &["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"],
        ),
    ];
    update_rows("apps", "statefulsets", &workload("apps", "statefulsets"), &rows);
}

#[test]
fn replication_controllers_select_by_plain_labels() {
    let good = complete(
        "",
        "replicationcontrollers",
        json!({"metadata": {"name": "a", "namespace": "ns"}, "spec": {"template": template()}}),
    );
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/selector", Value::Null)],
            &["spec.selector: Required value"],
        ),
        (
            vec![("/spec/selector/other", json!("y"))],
            &["spec.template.metadata.labels: Invalid value: {\"app\":\"x\"}: `selector` does not match template"],
        ),
        (
            vec![("/spec/template", Value::Null)],
            &["spec.template: Required value"],
        ),
        (
            vec![("/spec/replicas", json!(-1))],
            &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
    ];
    check_rows("", "replicationcontrollers", &good, &rows);
}

#[test]
fn revisions_have_data_that_stays() {
    let good = json!({"metadata": {"name": "a", "namespace": "ns"}, "revision": 1, "data": {"x": 1}});
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/data", Value::Null)],
            &["data: Required value: data is mandatory"],
        ),
        (vec![("/revision", json!(-1))], &["revision: Invalid value: -1"]),
    ];
    check_rows("apps", "controllerrevisions", &good, &rows);
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/revision", json!(2))], &[]),
        (
            vec![("/data", json!({"x": 2}))],
            &["data: Invalid value: {\"x\":2}: field is immutable"],
        ),
    ];
    update_rows("apps", "controllerrevisions", &good, &rows);
}

#[test]
fn budgets_name_one_amount() {
    let good = json!({
        "metadata": {"name": "A_budget", "namespace": "ns"},
        "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"app": "x"}}},
    });
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/spec/maxUnavailable", json!(1))], &["spec: Invalid value: "]),
        (
            vec![("/spec/minAvailable", json!("half"))],
            &["spec.minAvailable: Invalid value: \"half\": a valid percent string"],
        ),
        (
            vec![("/spec/minAvailable", json!("101%"))],
            &["spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"],
        ),
        (
            vec![("/spec/minAvailable", json!(-1))],
            &["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            vec![("/spec/unhealthyPodEvictionPolicy", json!("Perhaps"))],
            &[
                "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Perhaps\": supported values: \"AlwaysAllow\", \
               \"IfHealthyBudget\"",
            ],
        ),
        (
            vec![("/metadata/name", json!("a/b"))],
            &["metadata.name: Invalid value: \"a/b\": may not contain '/'"],
        ),
    ];
    check_rows("policy", "poddisruptionbudgets", &good, &rows);
}

#[test]
fn autoscalers_name_a_target_and_whole_metrics() {
    let good = complete(
        "autoscaling",
        "horizontalpodautoscalers",
        json!({
            "metadata": {"name": "a", "namespace": "ns"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
                "maxReplicas": 3,
                "behavior": {"scaleUp": {}},
            },
        }),
    );
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/minReplicas", json!(0))],
            &["spec.minReplicas: Invalid value: 0: must be greater than or equal to 1"],
        ),
        (
            vec![("/spec/maxReplicas", json!(0))],
            &[
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
            ],
        ),
        (
            vec![("/spec/scaleTargetRef", json!({"kind": "a/b"}))],
            &[
                "spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'",
                "spec.scaleTargetRef.name: Required value",
            ],
        ),
        (
            vec![("/spec/metrics/0/type", json!("Pods"))],
            &[
                "spec.metrics[0].pods: Required value: must populate information for the given metric source",
                "spec.metrics[0].resource: Forbidden: must populate the given metric source only",
            ],
        ),
        (
            vec![("/spec/metrics/0/resource/target", json!({"type": "Utilization"}))],
            &["spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value"],
        ),
        (
            vec![("/spec/metrics/0/resource/target/averageUtilization", json!(0))],
            &["spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"],
        ),
        (
            vec![(
                "/spec/metrics/0",
                json!({"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "-1"}}}),
            )],
            &["spec.metrics[0].external.target.value: Invalid value: \"-1\": must be positive"],
        ),
        (
            vec![("/spec/behavior/scaleUp/policies", json!([]))],
            &["spec.behavior.scaleUp.policies: Required value: must specify at least one Policy"],
        ),
        (
            vec![("/spec/behavior/scaleDown/stabilizationWindowSeconds", json!(3601))],
            &[
                "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
            ],
        ),
        (
            vec![("/spec/behavior/scaleDown/policies/0/periodSeconds", json!(0))],
            &["spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 0: must be greater than zero"],
        ),
    ];
    check_rows("autoscaling", "horizontalpodautoscalers", &good, &rows);
}

#[test]
fn endpoints_are_ordinary_addresses() {
    let good = json!({
        "metadata": {"name": "a", "namespace": "ns"},
        "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80, "protocol": "TCP"}]}],
    });
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/subsets/0/addresses", json!([]))],
            &["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"],
        ),
        (
            vec![("/subsets/0/addresses/0/ip", json!("127.0.0.1"))],
            &["subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range"],
        ),
        (
            vec![("/subsets/0/addresses/0/ip", json!("169.254.1.1"))],
            &["subsets[0].addresses[0].ip: Invalid value: \"169.254.1.1\": may not be in the link-local range"],
        ),
        (
            vec![("/subsets/0/ports/1", json!({"port": 0, "protocol": "TCP", "name": "b"}))],
            &[
                "subsets[0].ports[0].name: Required value",
                "subsets[0].ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
    ];
    check_rows("", "endpoints", &good, &rows);
}
