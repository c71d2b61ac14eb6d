//! Rows as `kubectl get -o wide` shows them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{IncludeObject, age::human, render, render_including};
use crate::resource::{by_path, resources};

const CREATED: &str = "2026-11-23T06:00:00Z";

fn now() -> Timestamp {
    "2026-11-23T06:01:40Z".parse().unwrap()
}

fn cells(group: &str, plural: &str, object: Value) -> Value {
    let mut object = object;
    object["metadata"]["name"] = json!("a");
    object["metadata"]["creationTimestamp"] = json!(CREATED);
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    let table = render(by_path(group, version, plural).unwrap(), &[object], now());
    let row = table["rows"][0]["cells"].clone();
    let columns = table["columnDefinitions"].as_array().unwrap().len();
    assert_eq!(
        row.as_array().unwrap().len(),
        columns,
        "one cell per column of {plural}"
    );
    row
}

/// (group, plural, object, cells as they are shown, without the name)
type Row = (&'static str, &'static str, Value, &'static [&'static str]);

fn check(rows: Vec<Row>) {
    for (group, plural, object, expected) in rows {
        let shown = object.to_string();
        let found: Vec<String> = cells(group, plural, object).as_array().unwrap()[1..]
            .iter()
            .map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned))
            .collect();
        assert_eq!(found, expected, "{plural} {shown}");
    }
}

fn pod_status(pod: Value) -> (String, String, String) {
    let row = cells("", "pods", pod);
    let text = |index: usize| row[index].as_str().unwrap().to_owned();
    (text(1), text(2), text(3))
}

#[test]
fn spans_of_time_get_coarser() {
    let rows = [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (121, "2m1s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (11_000, "3h3m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (70_000_000, "2y80d"),
        (300_000_000, "9y"),
    ];
    for (seconds, text) in rows {
        assert_eq!(human(seconds), text, "{seconds}");
    }
}

#[test]
fn a_pods_state_is_one_word() {
    let running = json!({"ready": true, "state": {"running": {}}});
    let rows = [
        (
            "fresh",
            json!({"status": {"phase": "Pending"}}),
            ("0/1", "Pending", "0"),
        ),
        (
            "running",
            json!({"status": {"phase": "Running", "containerStatuses": [running]}}),
            ("1/1", "Running", "0"),
        ),
        (
            "crashing",
            json!({"status": {"phase": "Running", "containerStatuses": [{
                "ready": false, "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"finishedAt": "2026-11-23T06:01:10Z"}},
            }]}}),
            ("0/1", "CrashLoopBackOff", "3 (30s ago)"),
        ),
        (
            "terminating",
            json!({"metadata": {"deletionTimestamp": CREATED},
                "status": {"phase": "Running", "containerStatuses": [running]}}),
            ("1/1", "Terminating", "0"),
        ),
        (
            "completed",
            json!({"status": {"phase": "Succeeded", "containerStatuses": [
                {"ready": false, "state": {"terminated": {"reason": "Completed", "exitCode": 0}}},
            ]}}),
            ("0/1", "Completed", "0"),
        ),
        (
            "killed",
            json!({"status": {"phase": "Failed", "containerStatuses": [
                {"ready": false, "state": {"terminated": {"signal": 9, "exitCode": 137}}},
            ]}}),
            ("0/1", "Signal:9", "0"),
        ),
        (
            "failed",
            json!({"status": {"phase": "Failed", "containerStatuses": [
                {"ready": false, "state": {"terminated": {"exitCode": 2}}},
            ]}}),
            ("0/1", "ExitCode:2", "0"),
        ),
        (
            "evicted",
            json!({"status": {"phase": "Failed", "reason": "Evicted"}}),
            ("0/1", "Evicted", "0"),
        ),
        (
            "initialising",
            json!({"spec": {"initContainers": [{"name": "i"}, {"name": "j"}]},
                "status": {"phase": "Pending", "initContainerStatuses": [
                    {"name": "i", "state": {"terminated": {"exitCode": 0}}},
                    {"name": "j", "state": {"running": {}}},
                ], "containerStatuses": [{"state": {"waiting": {"reason": "PodInitializing"}}}]}}),
            ("0/1", "Init:1/2", "0"),
        ),
        (
            "init failed",
            json!({"spec": {"initContainers": [{"name": "i"}]},
            "status": {"phase": "Pending", "initContainerStatuses": [
                {"name": "i", "restartCount": 2, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}},
            ]}}),
            ("0/1", "Init:Error", "2"),
        ),
        (
            "with a sidecar",
            json!({"spec": {"initContainers": [{"name": "s", "restartPolicy": "Always"}]},
            "status": {"phase": "Running", "containerStatuses": [running], "initContainerStatuses": [
                {"name": "s", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}}},
            ]}}),
            ("2/2", "Running", "1"),
        ),
        (
            "gated",
            json!({"status": {"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"},
            ]}}),
            ("0/1", "SchedulingGated", "0"),
        ),
        (
            "one container done, one running, not ready",
            json!({"spec": {"containers": [{}, {}]}, "status": {"phase": "Running", "containerStatuses": [
                {"state": {"terminated": {"reason": "Completed", "exitCode": 0}}}, running,
            ]}}),
            ("1/2", "NotReady", "0"),
        ),
    ];
    for (name, mut pod, (ready, status, restarts)) in rows {
        if pod["spec"]["containers"].is_null() {
            pod["spec"]["containers"] = json!([{}]);
        }
        let expected = (ready.to_owned(), status.to_owned(), restarts.to_owned());
        assert_eq!(pod_status(pod), expected, "{name}");
    }
}

#[test]
fn the_wide_columns_of_a_pod() {
    let row = cells(
        "",
        "pods",
        json!({
            "spec": {"nodeName": "n1", "containers": [{}], "readinessGates": [{"conditionType": "x"}]},
            "status": {"phase": "Running", "podIP": "10.42.0.5", "podIPs": [{"ip": "10.42.0.5"}]},
        }),
    );
    assert_eq!(
        row,
        json!(["a", "0/1", "Running", "0", "100s", "10.42.0.5", "n1", "<none>", "0/1"])
    );
}

#[test]
fn services_and_endpoint_slices() {
    let service = |object: Value| cells("", "services", object);
    assert_eq!(
        service(json!({"spec": {
            "type": "NodePort", "clusterIP": "10.43.0.9", "clusterIPs": ["10.43.0.9"], "selector": {"app": "web"},
            "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
        }})),
        json!([
            "a",
            "NodePort",
            "10.43.0.9",
            "<none>",
            "80:30080/TCP,53/UDP",
            "100s",
            "app=web"
        ])
    );
    assert_eq!(
        service(json!({"spec": {"type": "ClusterIP", "clusterIP": "None"}})),
        json!(["a", "ClusterIP", "None", "<none>", "<none>", "100s", "<none>"])
    );
    assert_eq!(
        service(json!({"spec": {"type": "ExternalName", "externalName": "example.com"}}))[3],
        "example.com"
    );
    assert_eq!(
        service(json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.43.0.2"}}))[3],
        "<pending>"
    );
    let slice = json!({
        "addressType": "IPv4",
        "ports": [{"name": "web", "port": 80}],
        "endpoints": [
            {"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]},
            {"addresses": ["10.0.0.3"]}, {"addresses": ["10.0.0.4"]},
        ],
    });
    assert_eq!(
        cells("discovery.k8s.io", "endpointslices", slice),
        json!(["a", "IPv4", "80", "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...", "100s"])
    );
    assert_eq!(
        cells("discovery.k8s.io", "endpointslices", json!({"addressType": "IPv4"})),
        json!(["a", "IPv4", "<unset>", "<unset>", "100s"])
    );
}

#[test]
fn workloads() {
    let spec = json!({
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"spec": {"containers": [{"name": "c", "image": "nginx:1"}, {"name": "d", "image": "x"}]}},
    });
    let status = json!({"replicas": 3, "readyReplicas": 2, "updatedReplicas": 3, "availableReplicas": 1});
    assert_eq!(
        cells("apps", "deployments", json!({"spec": spec, "status": status})),
        json!(["a", "2/3", 3, 1, "100s", "c,d", "nginx:1,x", "app=web"])
    );
    assert_eq!(
        cells("apps", "replicasets", json!({"spec": spec, "status": status})),
        json!(["a", 3, 3, 2, "100s", "c,d", "nginx:1,x", "app=web"])
    );
}

#[test]
fn the_other_kinds() {
    assert_eq!(
        cells(
            "",
            "configmaps",
            json!({"data": {"x": "1", "y": "2"}, "binaryData": {"z": ""}})
        ),
        json!(["a", 3, "100s"])
    );
    assert_eq!(
        cells("", "secrets", json!({"type": "Opaque", "data": {"x": "1"}})),
        json!(["a", "Opaque", 1, "100s"])
    );
    assert_eq!(cells("", "serviceaccounts", json!({})), json!(["a", 0, "100s"]));
    assert_eq!(
        cells("", "namespaces", json!({"status": {"phase": "Active"}})),
        json!(["a", "Active", "100s"])
    );
    assert_eq!(
        cells(
            "coordination.k8s.io",
            "leases",
            json!({"spec": {"holderIdentity": "n1"}})
        ),
        json!(["a", "n1", "100s"])
    );
    let node = json!({
        "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "node-role.kubernetes.io/a": ""}},
        "spec": {"unschedulable": true},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.36.0", "osImage": "Debian", "kernelVersion": "6.1",
                "containerRuntimeVersion": "skep://0.1"},
        },
    });
    assert_eq!(
        cells("", "nodes", node),
        json!([
            "a",
            "Ready,SchedulingDisabled",
            "a,control-plane",
            "100s",
            "v1.36.0",
            "10.0.0.1",
            "<none>",
            "Debian",
            "6.1",
            "skep://0.1"
        ])
    );
    assert_eq!(cells("", "nodes", json!({}))[1], "Unknown");
    let event = json!({
        "type": "Normal", "reason": "Started", "message": " started \n", "count": 2,
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{c}"},
        "source": {"component": "agent", "host": "n1"},
        "firstTimestamp": CREATED, "lastTimestamp": "2026-11-23T06:01:00Z",
    });
    assert_eq!(
        cells("", "events", event),
        json!([
            "40s",
            "Normal",
            "Started",
            "pod/p",
            "spec.containers{c}",
            "agent, n1",
            "started",
            "100s",
            2,
            "a"
        ])
    );
}

#[test]
fn rows_carry_as_much_of_the_object_as_asked() {
    let secrets = by_path("", "v1", "secrets").unwrap();
    let secret = json!({"metadata": {"name": "s"}, "data": {"x": "1"}});
    let object =
        |include| render_including(secrets, std::slice::from_ref(&secret), now(), include)["rows"][0]["object"].take();
    assert_eq!(object(IncludeObject::None), Value::Null);
    assert_eq!(object(IncludeObject::Object), secret);
    assert_eq!(object(IncludeObject::Metadata)["kind"], "PartialObjectMetadata");
    assert_eq!(object(IncludeObject::Metadata)["metadata"]["name"], "s");
}

#[test]
fn every_kind_prints_an_empty_object_without_harm() {
    for row in resources() {
        let table = render(row, &[json!({}), json!(null)], now());
        let columns = table["columnDefinitions"].as_array().unwrap().len();
        for row in table["rows"].as_array().unwrap() {
            assert_eq!(row["cells"].as_array().unwrap().len(), columns);
        }
    }
    let ended = json!({"status": {"phase": "Succeeded"}});
    let table = render(by_path("", "v1", "pods").unwrap(), &[ended], now());
    assert_eq!(table["rows"][0]["conditions"][0]["type"], "Completed");
}

#[test]
fn workloads_count_pods_and_name_containers() {
    let template = json!({"metadata": {"labels": {"app": "x"}},
        "spec": {"nodeSelector": {"disk": "ssd"}, "containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}});
    let spec = json!({"replicas": 3, "selector": {"matchLabels": {"app": "x"}}, "template": template});
    check(vec![
        (
            "apps",
            "daemonsets",
            json!({"spec": spec, "status": {"desiredNumberScheduled": 3, "currentNumberScheduled": 2, "numberReady": 1}}),
            &["3", "2", "1", "0", "0", "disk=ssd", "100s", "c,d", "i,j", "app=x"],
        ),
        (
            "apps",
            "statefulsets",
            json!({"spec": spec, "status": {"readyReplicas": 1}}),
            &["1/3", "100s", "c,d", "i,j"],
        ),
        (
            "",
            "replicationcontrollers",
            json!({"spec": {"replicas": 3, "selector": {"app": "x"}, "template": template}, "status": {"replicas": 2}}),
            &["3", "2", "0", "100s", "c,d", "i,j", "app=x"],
        ),
        (
            "",
            "podtemplates",
            json!({"template": template}),
            &["c,d", "i,j", "app=x"],
        ),
        (
            "apps",
            "controllerrevisions",
            json!({"revision": 4, "metadata": {"ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true},
            ]}}),
            &["statefulset.apps/web", "4", "100s"],
        ),
        (
            "policy",
            "poddisruptionbudgets",
            json!({"spec": {"maxUnavailable": 1}, "status": {"disruptionsAllowed": 2}}),
            &["N/A", "1", "2", "100s"],
        ),
    ]);
}

#[test]
fn jobs_tell_their_state_progress_and_duration() {
    let condition = |name: &str| json!([{"type": name, "status": "True"}]);
    check(vec![
        (
            "batch",
            "jobs",
            json!({"spec": {"completions": 3}, "status": {"succeeded": 1, "startTime": "2026-11-23T06:01:00Z"}}),
            &["Running", "1/3", "40s", "100s", "", "", "<none>"],
        ),
        (
            "batch",
            "jobs",
            json!({"spec": {"parallelism": 2}, "status": {"conditions": condition("Complete"),
                "startTime": "2026-11-23T06:00:00Z", "completionTime": "2026-11-23T06:00:05Z"}}),
            &["Complete", "0/1 of 2", "5s", "100s", "", "", "<none>"],
        ),
        (
            "batch",
            "jobs",
            json!({"metadata": {"deletionTimestamp": CREATED}, "status": {"conditions": condition("Suspended")}}),
            &["Terminating", "0/1", "", "100s", "", "", "<none>"],
        ),
        (
            "batch",
            "cronjobs",
            json!({"spec": {"schedule": "@daily", "suspend": false}, "status": {"active": [{}],
                "lastScheduleTime": "2026-11-23T06:01:30Z"}}),
            &["@daily", "<none>", "False", "1", "10s", "100s", "", "", "<none>"],
        ),
    ]);
}

#[test]
fn volumes_and_claims_show_what_they_have() {
    check(vec![
        (
            "",
            "persistentvolumes",
            json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "fast", "volumeMode": "Filesystem",
                "claimRef": {"namespace": "ns", "name": "c"}}, "status": {"phase": "Bound"}}),
            &[
                "1Gi",
                "RWO,RWX",
                "Retain",
                "Bound",
                "ns/c",
                "fast",
                "<unset>",
                "",
                "100s",
                "Filesystem",
            ],
        ),
        (
            "",
            "persistentvolumeclaims",
            json!({"spec": {"storageClassName": "fast"}, "status": {"phase": "Pending"}}),
            &["Pending", "", "", "", "fast", "<unset>", "100s", "<unset>"],
        ),
        (
            "",
            "persistentvolumeclaims",
            json!({"spec": {"volumeName": "v", "volumeMode": "Block"}, "status": {"phase": "Bound",
                "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOncePod"]}}),
            &["Bound", "v", "1Gi", "RWOP", "", "<unset>", "100s", "Block"],
        ),
    ]);
}

#[test]
fn autoscalers_show_where_each_metric_is() {
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 80}}});
    let memory = json!({"type": "Resource", "resource": {"name": "memory",
        "target": {"type": "AverageValue", "averageValue": "1Gi"}}});
    let queue = json!({"type": "External", "external": {"metric": {"name": "q"},
        "target": {"type": "AverageValue", "averageValue": "5"}}});
    let object = |metrics: Value, current: Value| {
        json!({"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 5,
            "metrics": metrics}, "status": {"currentReplicas": 2, "currentMetrics": current}})
    };
    check(vec![
        (
            "autoscaling",
            "horizontalpodautoscalers",
            object(json!([cpu]), json!([])),
            &["Deployment/web", "cpu: <unknown>/80%", "1", "5", "2", "100s"],
        ),
        (
            "autoscaling",
            "horizontalpodautoscalers",
            object(
                json!([cpu, memory, queue]),
                json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40}}}]),
            ),
            &[
                "Deployment/web",
                "cpu: 40%/80%, memory: <unknown>/1Gi + 1 more...",
                "1",
                "5",
                "2",
                "100s",
            ],
        ),
        (
            "autoscaling",
            "horizontalpodautoscalers",
            object(json!([queue]), json!([])),
            &["Deployment/web", "<unknown>/5 (avg)", "1", "5", "2", "100s"],
        ),
    ]);
}

#[test]
fn quotas_classes_endpoints_and_components() {
    check(vec![
        (
            "",
            "resourcequotas",
            json!({"status": {"hard": {"pods": "10", "limits.cpu": "2", "count/jobs.batch": "3"},
                "used": {"pods": "1", "limits.cpu": "500m", "count/jobs.batch": "0"}}}),
            &["count/jobs.batch: 0/3, pods: 1/10", "limits.cpu: 500m/2", "100s"],
        ),
        (
            "scheduling.k8s.io",
            "priorityclasses",
            json!({"value": 5, "preemptionPolicy": "Never"}),
            &["5", "false", "100s", "Never"],
        ),
        (
            "node.k8s.io",
            "runtimeclasses",
            json!({"handler": "runc"}),
            &["runc", "100s"],
        ),
        (
            "",
            "endpoints",
            json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80}, {"port": 81}]}]}),
            &["10.0.0.1:80,10.0.0.2:80,10.0.0.1:81 + 1 more...", "100s"],
        ),
        ("", "endpoints", json!({}), &["<none>", "100s"]),
        (
            "",
            "componentstatuses",
            json!({"conditions": [{"type": "Healthy", "status": "True", "message": "ok"}]}),
            &["Healthy", "ok", ""],
        ),
    ]);
}

#[test]
fn every_version_shows_the_columns_of_the_stored_form() {
    let rows = by_path("autoscaling", "v1", "horizontalpodautoscalers").unwrap();
    let old = json!({"metadata": {"name": "a"}, "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"},
        "maxReplicas": 5, "targetCPUUtilizationPercentage": 70}});
    let table = render_including(rows, std::slice::from_ref(&old), now(), IncludeObject::Object);
    assert_eq!(table["rows"][0]["cells"][2], "cpu: <unknown>/70%");
    assert_eq!(
        table["rows"][0]["object"], old,
        "but carries the object as it was asked for"
    );
    let events = by_path("events.k8s.io", "v1", "events").unwrap();
    let event = json!({"metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "p"}, "note": "hello"});
    let table = render(events, &[event], now());
    assert_eq!(table["rows"][0]["cells"][3], "pod/p");
    assert_eq!(table["rows"][0]["cells"][6], "hello");
}
