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
    let table = render(by_path(group, "v1", plural).unwrap(), &[object], now());
    let row = table["rows"][0]["cells"].clone();
    let columns = table["columnDefinitions"].as_array().unwrap().len();
    assert_eq!(
        row.as_array().unwrap().len(),
        columns,
        "one cell per column of {plural}"
    );
    row
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
