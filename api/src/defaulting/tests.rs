//! One table per kind: what is given, what it becomes.

use serde_json::{Value, json};

use super::apply;
use crate::resource::by_path;

fn defaulted(group: &str, plural: &str, object: Value) -> Value {
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    let resource = by_path(group, version, plural).unwrap();
    let mut once = object;
    apply(resource, &mut once);
    let mut twice = once.clone();
    apply(resource, &mut twice);
    assert_eq!(once, twice, "defaulting again changes nothing");
    once
}

fn pod(spec: Value) -> Value {
    defaulted("", "pods", json!({ "spec": spec }))["spec"].take()
}

fn container(container: Value) -> Value {
    pod(json!({ "containers": [container] }))["containers"][0].take()
}

#[test]
fn a_bare_pod_gets_the_documented_defaults() {
    let expected = json!({
        "containers": [{
            "name": "a",
            "image": "nginx",
            "imagePullPolicy": "Always",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }],
        "dnsPolicy": "ClusterFirst",
        "enableServiceLinks": true,
        "restartPolicy": "Always",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "terminationGracePeriodSeconds": 30,
    });
    assert_eq!(
        pod(json!({ "containers": [{ "name": "a", "image": "nginx" }] })),
        expected
    );
}

#[test]
fn what_is_given_stays() {
    let given = pod(json!({
        "containers": [],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "enableServiceLinks": false,
        "serviceAccount": "old",
    }));
    assert_eq!(given["restartPolicy"], "Never");
    assert_eq!(given["terminationGracePeriodSeconds"], 0);
    assert_eq!(given["enableServiceLinks"], false);
    assert_eq!(given["serviceAccountName"], "old");
    assert_eq!(pod(json!({ "serviceAccountName": "new" }))["serviceAccount"], "new");
}

#[test]
fn the_pull_policy_follows_the_tag() {
    let rows = [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("registry:5000/nginx", "Always"),
        ("registry:5000/a/nginx:2", "IfNotPresent"),
        ("nginx@sha256:abc", "IfNotPresent"),
        ("nginx:latest@sha256:abc", "IfNotPresent"),
        ("", "Always"),
    ];
    for (image, policy) in rows {
        assert_eq!(
            container(json!({ "image": image }))["imagePullPolicy"],
            policy,
            "{image}"
        );
    }
}

#[test]
fn requests_follow_limits_in_pods_but_not_in_templates() {
    let resources = json!({ "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "100m" } });
    let filled = container(json!({ "resources": resources }));
    assert_eq!(
        filled["resources"]["requests"],
        json!({ "cpu": "100m", "memory": "1Gi" })
    );
    let template = json!({ "spec": { "template": { "spec": { "containers": [{ "resources": resources }] } } } });
    let deployment = defaulted("apps", "deployments", template);
    let kept = &deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"];
    assert_eq!(*kept, json!({ "cpu": "100m" }));
    assert_eq!(container(json!({ "resources": {} }))["resources"], json!({}));
}

#[test]
fn ports_probes_and_references_are_completed() {
    let filled = container(json!({
        "ports": [{ "containerPort": 80 }, { "containerPort": 53, "protocol": "UDP" }],
        "livenessProbe": { "httpGet": { "port": 80 }, "timeoutSeconds": 0, "periodSeconds": 7 },
        "readinessProbe": { "grpc": { "port": 1 } },
        "lifecycle": { "preStop": { "httpGet": { "port": 80 } } },
        "env": [
            { "name": "A", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
            { "name": "B", "valueFrom": { "resourceFieldRef": { "resource": "limits.cpu" } } },
        ],
    }));
    assert_eq!(
        filled["ports"],
        json!([{ "containerPort": 80, "protocol": "TCP" }, { "containerPort": 53, "protocol": "UDP" }])
    );
    assert_eq!(
        filled["livenessProbe"],
        json!({
            "httpGet": { "port": 80, "path": "/", "scheme": "HTTP" },
            "timeoutSeconds": 1, "periodSeconds": 7, "successThreshold": 1, "failureThreshold": 3,
        })
    );
    assert_eq!(filled["readinessProbe"]["grpc"]["service"], "");
    assert_eq!(filled["lifecycle"]["preStop"]["httpGet"]["scheme"], "HTTP");
    assert_eq!(filled["env"][0]["valueFrom"]["fieldRef"]["apiVersion"], "v1");
    assert_eq!(filled["env"][1]["valueFrom"]["resourceFieldRef"]["divisor"], "0");
    let on_host = json!({ "hostNetwork": true, "containers": [{ "ports": [{ "containerPort": 80 }] }] });
    assert_eq!(pod(on_host.clone())["containers"][0]["ports"][0]["hostPort"], 80);
    let template = json!({ "template": { "spec": on_host } });
    let in_template = defaulted("apps", "replicasets", json!({ "spec": template }));
    let port = &in_template["spec"]["template"]["spec"]["containers"][0]["ports"][0];
    assert_eq!(port.get("hostPort"), None, "only pods get it");
}

#[test]
fn volumes_get_modes_and_a_source() {
    let rows = [
        (json!({ "name": "v" }), json!({ "name": "v", "emptyDir": {} })),
        (
            json!({ "secret": { "secretName": "s" } }),
            json!({ "secret": { "secretName": "s", "defaultMode": 420 } }),
        ),
        (
            json!({ "configMap": { "name": "c", "defaultMode": 256 } }),
            json!({ "configMap": { "name": "c", "defaultMode": 256 } }),
        ),
        (
            json!({ "hostPath": { "path": "/x" } }),
            json!({ "hostPath": { "path": "/x", "type": "" } }),
        ),
        (
            json!({ "downwardAPI": { "items": [{ "fieldRef": {} }] } }),
            json!({ "downwardAPI": { "items": [{ "fieldRef": { "apiVersion": "v1" } }], "defaultMode": 420 } }),
        ),
        (
            json!({ "projected": { "sources": [{ "serviceAccountToken": {} }] } }),
            json!({ "projected": {
                "sources": [{ "serviceAccountToken": { "expirationSeconds": 3600 } }], "defaultMode": 420,
            } }),
        ),
    ];
    for (given, expected) in rows {
        let shown = given.to_string();
        assert_eq!(pod(json!({ "volumes": [given] }))["volumes"][0], expected, "{shown}");
    }
}

#[test]
fn services_get_type_affinity_policies_and_target_ports() {
    let service = |spec: Value| defaulted("", "services", json!({ "spec": spec }))["spec"].take();
    assert_eq!(
        service(json!({ "ports": [{ "port": 80 }, { "port": 81, "targetPort": "web", "protocol": "UDP" }] })),
        json!({
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
            "ports": [
                { "port": 80, "targetPort": 80, "protocol": "TCP" },
                { "port": 81, "targetPort": "web", "protocol": "UDP" },
            ],
        })
    );
    assert_eq!(
        service(json!({ "ports": [{ "port": 80, "targetPort": 0 }] }))["ports"][0]["targetPort"],
        80
    );
    let node_port = service(json!({ "type": "NodePort", "sessionAffinity": "ClientIP" }));
    assert_eq!(node_port["externalTrafficPolicy"], "Cluster");
    assert_eq!(node_port["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], 10_800);
    let external = service(json!({ "type": "ExternalName", "externalName": "a.b" }));
    assert_eq!(external.get("internalTrafficPolicy"), None);
    assert_eq!(
        service(json!({ "type": "LoadBalancer" }))["allocateLoadBalancerNodePorts"],
        true
    );
}

#[test]
fn workloads_get_replicas_strategy_and_limits() {
    let deployment = defaulted("apps", "deployments", json!({ "spec": { "template": { "spec": {} } } }));
    let spec = &deployment["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(
        spec["strategy"],
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "25%", "maxSurge": "25%" } })
    );
    assert_eq!(spec["revisionHistoryLimit"], 10);
    assert_eq!(spec["progressDeadlineSeconds"], 600);
    assert_eq!(spec["template"]["spec"]["restartPolicy"], "Always");
    assert_eq!(spec["template"]["spec"].get("enableServiceLinks"), None);
    let recreate = defaulted(
        "apps",
        "deployments",
        json!({ "spec": { "replicas": 0, "strategy": { "type": "Recreate" } } }),
    );
    assert_eq!(recreate["spec"]["strategy"], json!({ "type": "Recreate" }));
    assert_eq!(recreate["spec"]["replicas"], 0);
    assert_eq!(
        defaulted("apps", "replicasets", json!({ "spec": {} }))["spec"]["replicas"],
        1
    );
}

#[test]
fn daemon_sets_and_stateful_sets_get_strategies_and_claims() {
    let daemons = defaulted("apps", "daemonsets", json!({ "spec": {} }));
    assert_eq!(
        daemons["spec"],
        json!({
            "revisionHistoryLimit": 10,
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 1, "maxSurge": 0 } },
        })
    );
    let on_delete = json!({ "spec": { "updateStrategy": { "type": "OnDelete" } } });
    assert_eq!(
        defaulted("apps", "daemonsets", on_delete.clone())["spec"]["updateStrategy"],
        on_delete["spec"]["updateStrategy"]
    );
    let claim = json!({ "metadata": { "name": "data" }, "spec": { "storageClassName": "" } });
    let stateful = defaulted(
        "apps",
        "statefulsets",
        json!({ "spec": { "volumeClaimTemplates": [claim] } }),
    );
    assert_eq!(
        stateful["spec"],
        json!({
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
            "podManagementPolicy": "OrderedReady",
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 0, "maxUnavailable": 1 } },
            "volumeClaimTemplates": [{
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": { "name": "data" },
                "spec": { "storageClassName": "", "volumeMode": "Filesystem" },
                "status": { "phase": "Pending" },
            }],
        })
    );
    assert_eq!(
        defaulted("apps", "statefulsets", on_delete)["spec"]["updateStrategy"],
        json!({ "type": "OnDelete" })
    );
}

#[test]
fn controllers_and_jobs_take_labels_from_their_template() {
    let template = json!({ "metadata": { "labels": { "a": "b" } } });
    let bare = json!({ "metadata": { "name": "x" }, "spec": { "template": template } });
    let controller = defaulted("", "replicationcontrollers", bare.clone());
    assert_eq!(controller["metadata"]["labels"], json!({ "a": "b" }));
    assert_eq!(controller["spec"]["selector"], json!({ "a": "b" }));
    assert_eq!(controller["spec"]["replicas"], 1);
    assert_eq!(
        defaulted("batch", "jobs", bare)["metadata"]["labels"],
        json!({ "a": "b" })
    );
    let given = json!({
        "metadata": { "name": "x", "labels": { "own": "1" } },
        "spec": { "selector": { "s": "1" }, "template": template },
    });
    let controller = defaulted("", "replicationcontrollers", given);
    assert_eq!(controller["metadata"]["labels"], json!({ "own": "1" }));
    assert_eq!(controller["spec"]["selector"], json!({ "s": "1" }));
}

#[test]
fn jobs_get_counts_limits_and_policies() {
    let rows = [
        (json!({}), "completions", json!(1)),
        (json!({}), "parallelism", json!(1)),
        (json!({ "parallelism": 3 }), "completions", Value::Null),
        (json!({ "completions": 3 }), "parallelism", json!(1)),
        (json!({}), "backoffLimit", json!(6)),
        (json!({ "backoffLimitPerIndex": 1 }), "backoffLimit", json!(i32::MAX)),
        (json!({}), "completionMode", json!("NonIndexed")),
        (json!({}), "suspend", json!(false)),
        (json!({}), "manualSelector", json!(false)),
        (json!({}), "podReplacementPolicy", json!("TerminatingOrFailed")),
        (
            json!({ "podFailurePolicy": { "rules": [] } }),
            "podReplacementPolicy",
            json!("Failed"),
        ),
    ];
    for (spec, field, value) in rows {
        let shown = format!("{spec} {field}");
        let job = defaulted("batch", "jobs", json!({ "spec": spec }));
        assert_eq!(job["spec"].get(field).cloned().unwrap_or_default(), value, "{shown}");
    }
    let cron = defaulted(
        "batch",
        "cronjobs",
        json!({ "spec": { "jobTemplate": { "spec": { "template": { "spec": { "restartPolicy": "Never" } } } } } }),
    );
    assert_eq!(cron["spec"]["concurrencyPolicy"], "Allow");
    assert_eq!(cron["spec"]["successfulJobsHistoryLimit"], 3);
    assert_eq!(cron["spec"]["failedJobsHistoryLimit"], 1);
    let job = &cron["spec"]["jobTemplate"]["spec"];
    assert_eq!(job["template"]["spec"]["dnsPolicy"], "ClusterFirst");
    assert_eq!(
        job.get("backoffLimit"),
        None,
        "the job gets its defaults when it is made"
    );
}

#[test]
fn limits_fill_each_other_for_containers_only() {
    let range = |kind: &str| {
        let limit = json!({ "type": kind, "max": { "cpu": "2", "memory": "2Gi" }, "min": { "cpu": "1", "pods": "1" },
            "default": { "cpu": "1500m" } });
        defaulted("", "limitranges", json!({ "spec": { "limits": [limit] } }))["spec"]["limits"][0].take()
    };
    let container = range("Container");
    assert_eq!(container["default"], json!({ "cpu": "1500m", "memory": "2Gi" }));
    assert_eq!(
        container["defaultRequest"],
        json!({ "cpu": "1500m", "memory": "2Gi", "pods": "1" })
    );
    assert_eq!(range("Pod").get("defaultRequest"), None);
}

#[test]
fn autoscalers_get_a_cpu_target_and_whole_behavior() {
    let spec =
        |spec: Value| defaulted("autoscaling", "horizontalpodautoscalers", json!({ "spec": spec }))["spec"].take();
    let bare = spec(json!({ "maxReplicas": 3 }));
    assert_eq!(bare["minReplicas"], 1);
    assert_eq!(
        bare["metrics"],
        json!([{ "type": "Resource", "resource": {
            "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 },
        } }])
    );
    assert_eq!(bare.get("behavior"), None);
    let behaving = spec(json!({ "behavior": { "scaleDown": { "selectPolicy": "Disabled" } } }));
    assert_eq!(
        behaving["behavior"],
        json!({
            "scaleUp": { "stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
                { "type": "Pods", "value": 4, "periodSeconds": 15 },
                { "type": "Percent", "value": 100, "periodSeconds": 15 },
            ] },
            "scaleDown": { "selectPolicy": "Disabled", "policies": [
                { "type": "Percent", "value": 100, "periodSeconds": 15 },
            ] },
        })
    );
}

#[test]
fn persistent_volumes_and_claims_start_pending() {
    let volume = defaulted(
        "",
        "persistentvolumes",
        json!({ "spec": { "hostPath": { "path": "/x" } } }),
    );
    assert_eq!(
        volume,
        json!({
            "spec": {
                "hostPath": { "path": "/x", "type": "" },
                "persistentVolumeReclaimPolicy": "Retain",
                "volumeMode": "Filesystem",
            },
            "status": { "phase": "Pending" },
        })
    );
    let claim = defaulted(
        "",
        "persistentvolumeclaims",
        json!({ "spec": { "storageClassName": "" } }),
    );
    assert_eq!(
        claim,
        json!({
            "spec": { "storageClassName": "", "volumeMode": "Filesystem" },
            "status": { "phase": "Pending" },
        })
    );
}

#[test]
fn the_other_kinds() {
    assert_eq!(defaulted("", "secrets", json!({}))["type"], "Opaque");
    let node = defaulted("", "nodes", json!({ "status": { "capacity": { "cpu": "2" } } }));
    assert_eq!(node["status"]["allocatable"], json!({ "cpu": "2" }));
    let slice = defaulted(
        "discovery.k8s.io",
        "endpointslices",
        json!({ "ports": [{ "port": 80 }] }),
    );
    assert_eq!(slice["ports"][0], json!({ "port": 80, "name": "", "protocol": "TCP" }));
    assert_eq!(defaulted("", "configmaps", json!({})), json!({}));
    let endpoints = defaulted("", "endpoints", json!({ "subsets": [{ "ports": [{ "port": 80 }] }] }));
    assert_eq!(endpoints["subsets"][0]["ports"][0]["protocol"], "TCP");
    let class = defaulted("scheduling.k8s.io", "priorityclasses", json!({ "value": 1 }));
    assert_eq!(class["preemptionPolicy"], "PreemptLowerPriority");
    let template = defaulted("", "podtemplates", json!({ "template": { "spec": {} } }));
    assert_eq!(template["template"]["spec"]["restartPolicy"], "Always");
    let balanced = json!({
        "spec": { "type": "LoadBalancer" },
        "status": { "loadBalancer": { "ingress": [{ "ip": "192.0.2.1" }, { "hostname": "a.example" }] } },
    });
    assert_eq!(
        defaulted("", "services", balanced)["status"]["loadBalancer"]["ingress"],
        json!([{ "ip": "192.0.2.1", "ipMode": "VIP" }, { "hostname": "a.example" }])
    );
    let rbac = "rbac.authorization.k8s.io";
    let subjects = json!([{ "kind": "User" }, { "kind": "ServiceAccount" }, { "kind": "Group", "apiGroup": "x" }]);
    let binding = defaulted(rbac, "rolebindings", json!({ "roleRef": {}, "subjects": subjects }));
    let expected = json!({
        "roleRef": { "apiGroup": rbac },
        "subjects": [
            { "kind": "User", "apiGroup": rbac },
            { "kind": "ServiceAccount" },
            { "kind": "Group", "apiGroup": "x" },
        ],
    });
    assert_eq!(binding, expected);
}

#[test]
fn values_of_the_wrong_type_do_no_harm() {
    for object in [
        json!(null),
        json!([]),
        json!({"spec": 1}),
        json!({"spec": {"containers": {}, "volumes": [1]}}),
    ] {
        for row in crate::resource::resources() {
            apply(row, &mut object.clone());
        }
    }
}
