//! Faults of pods.

use serde_json::{Value, json};

use super::{Change, assert_faults, check_rows, complete, update, with};

fn pod() -> Value {
    complete(
        "",
        "pods",
        json!({
            "metadata": {"name": "a", "namespace": "ns"},
            "spec": {
                "containers": [{
                    "name": "a",
                    "image": "nginx:1",
                    "ports": [{"containerPort": 80, "name": "web"}],
                    "env": [{"name": "A", "value": "1"}],
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                    "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
                    "readinessProbe": {"httpGet": {"port": "web"}},
                }],
                "volumes": [{"name": "v"}],
            },
        }),
    )
}

#[test]
fn containers() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/containers", json!([]))],
            &["spec.containers: Required value"],
        ),
        (
            vec![("/spec/containers/0/name", Value::Null)],
            &["spec.containers[0].name: Required value"],
        ),
        (
            vec![("/spec/containers/0/name", json!("A b"))],
            &["spec.containers[0].name: Invalid value: \"A b\": a lowercase RFC 1123 label must consist of"],
        ),
        (
            vec![("/spec/containers/0/image", Value::Null)],
            &["spec.containers[0].image: Required value"],
        ),
        (
            vec![("/spec/containers/0/image", json!(" nginx"))],
            &["spec.containers[0].image: Invalid value: \" nginx\": must not have leading or trailing whitespace"],
        ),
        (
            vec![("/spec/containers/0/imagePullPolicy", json!("Sometimes"))],
            &[
                "spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \
               \"IfNotPresent\", \"Never\"",
            ],
        ),
        (
            vec![("/spec/containers/0/ports/0/containerPort", json!(0))],
            &["spec.containers[0].ports[0].containerPort: Required value"],
        ),
        (
            vec![("/spec/containers/0/ports/0/containerPort", json!(65_536))],
            &[
                "spec.containers[0].ports[0].containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            vec![("/spec/containers/0/ports/0/protocol", json!("tcp"))],
            &[
                "spec.containers[0].ports[0].protocol: Unsupported value: \"tcp\": supported values: \"SCTP\", \"TCP\", \
               \"UDP\"",
            ],
        ),
        (
            vec![(
                "/spec/containers/0/ports/1",
                json!({"containerPort": 81, "name": "web", "protocol": "TCP"}),
            )],
            &["spec.containers[0].ports[1].name: Duplicate value: \"web\""],
        ),
        (
            vec![
                ("/spec/containers/0/ports/0/hostPort", json!(8080)),
                (
                    "/spec/containers/0/ports/1",
                    json!({"containerPort": 81, "hostPort": 8080, "protocol": "TCP"}),
                ),
            ],
            &["spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//8080\""],
        ),
        (
            vec![(
                "/spec/initContainers",
                json!([{"name": "a", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
                    "livenessProbe": {"exec": {"command": ["x"]}}}]),
            )],
            &[
                "spec.initContainers[0].name: Duplicate value: \"a\"",
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without",
            ],
        ),
        (
            vec![("/spec/ephemeralContainers", json!([{"name": "e", "image": "i"}]))],
            &["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
    ];
    check_rows("", "pods", &pod(), &rows);
}

#[test]
fn environment_and_mounts() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/containers/0/env/0/name", json!(""))],
            &["spec.containers[0].env[0].name: Required value"],
        ),
        (
            vec![("/spec/containers/0/env/0/name", json!("A=B"))],
            &["spec.containers[0].env[0].name: Invalid value: \"A=B\""],
        ),
        (
            vec![("/spec/containers/0/env/0", json!({"name": "A", "valueFrom": {}}))],
            &["spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`"],
        ),
        (
            vec![(
                "/spec/containers/0/env/0/valueFrom",
                json!({"configMapKeyRef": {"name": "c", "key": "k"}}),
            )],
            &[
                "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            ],
        ),
        (
            vec![(
                "/spec/containers/0/env/0",
                json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "c"}}}),
            )],
            &["spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value"],
        ),
        (
            vec![(
                "/spec/containers/0/env/0",
                json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nothing"}}}),
            )],
            &["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"spec.nothing\""],
        ),
        (
            vec![(
                "/spec/containers/0/env/0",
                json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}}),
            )],
            &[],
        ),
        (
            vec![(
                "/spec/containers/0/envFrom",
                json!([{}, {"secretRef": {}}, {"configMapRef": {"name": "c"}, "prefix": "P="}]),
            )],
            &[
                "spec.containers[0].envFrom[0]: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
                "spec.containers[0].envFrom[1].secretRef.name: Required value",
                "spec.containers[0].envFrom[2].prefix: Invalid value: \"P=\"",
            ],
        ),
        (
            vec![("/spec/containers/0/volumeMounts/0/name", json!("other"))],
            &["spec.containers[0].volumeMounts[0].name: Not found: \"other\""],
        ),
        (
            vec![("/spec/containers/0/volumeMounts/0/mountPath", json!(""))],
            &["spec.containers[0].volumeMounts[0].mountPath: Required value"],
        ),
        (
            vec![(
                "/spec/containers/0/volumeMounts/1",
                json!({"name": "v", "mountPath": "/v", "subPath": "../x"}),
            )],
            &[
                "spec.containers[0].volumeMounts[1].mountPath: Invalid value: \"/v\": must be unique",
                "spec.containers[0].volumeMounts[1].subPath: Invalid value: \"../x\": must not contain '..'",
            ],
        ),
    ];
    check_rows("", "pods", &pod(), &rows);
}

#[test]
fn volumes() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/volumes/1", json!({"name": "v", "emptyDir": {}}))],
            &["spec.volumes[1].name: Duplicate value: \"v\""],
        ),
        (
            vec![("/spec/volumes/1", json!({"name": "w"}))],
            &["spec.volumes[1]: Required value: must specify a volume type"],
        ),
        (
            vec![("/spec/volumes/0/hostPath", json!({"path": "/x"}))],
            &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            vec![(
                "/spec/volumes/1",
                json!({"name": "w", "hostPath": {"path": "/a/../b", "type": "Dir"}}),
            )],
            &[
                "spec.volumes[1].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
                "spec.volumes[1].hostPath.type: Unsupported value: \"Dir\"",
            ],
        ),
        (
            vec![(
                "/spec/volumes/1",
                json!({"name": "w", "configMap": {"defaultMode": 512, "items": [{"key": "", "path": "/abs"}]}}),
            )],
            &[
                "spec.volumes[1].configMap.name: Required value",
                "spec.volumes[1].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777",
                "spec.volumes[1].configMap.items[0].key: Required value",
                "spec.volumes[1].configMap.items[0].path: Invalid value: \"/abs\": must be a relative path",
            ],
        ),
        (
            vec![("/spec/volumes/1", json!({"name": "w", "secret": {}}))],
            &["spec.volumes[1].secret.secretName: Required value"],
        ),
        (
            vec![(
                "/spec/volumes/1",
                json!({"name": "w", "projected": {"sources": [{}, {"serviceAccountToken": {"expirationSeconds": 5, "path": "t"}}]}}),
            )],
            &[
                "spec.volumes[1].projected.sources[0]: Required value",
                "spec.volumes[1].projected.sources[1].serviceAccountToken.expirationSeconds: Invalid value: 5: may not",
            ],
        ),
        (
            vec![(
                "/spec/volumes/1",
                json!({"name": "w", "downwardAPI": {"items": [{"path": "p"}, {"path": "q", "fieldRef": {"fieldPath": "spec.nodeName"}}]}}),
            )],
            &[
                "spec.volumes[1].downwardAPI.items[0]: Required value: one of fieldRef and resourceFieldRef is required",
                "spec.volumes[1].downwardAPI.items[1].fieldRef.fieldPath: Unsupported value: \"spec.nodeName\"",
            ],
        ),
        (
            vec![(
                "/spec/volumes/1",
                json!({"name": "w", "emptyDir": {"medium": "Disk", "sizeLimit": "-1"}}),
            )],
            &[
                "spec.volumes[1].emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity",
                "spec.volumes[1].emptyDir.medium: Unsupported value: \"Disk\"",
            ],
        ),
    ];
    check_rows("", "pods", &pod(), &rows);
}

#[test]
fn resources_probes_and_policies() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/containers/0/resources/requests/cpu", json!("2"))],
            &[
                "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            ],
        ),
        (
            vec![("/spec/containers/0/resources/limits/memory", json!("-1"))],
            &["spec.containers[0].resources.limits[memory]: Invalid value: \"-1\": must be greater than or equal to 0"],
        ),
        (
            vec![("/spec/containers/0/resources/limits/gpu", json!("1"))],
            &[
                "spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource type or",
                "spec.containers[0].resources.limits[gpu]: Invalid value: \"gpu\": must be a standard resource for",
            ],
        ),
        (
            vec![("/spec/containers/0/readinessProbe", json!({"timeoutSeconds": -1}))],
            &[
                "spec.containers[0].readinessProbe: Required value: must specify a handler type",
                "spec.containers[0].readinessProbe.timeoutSeconds: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            vec![(
                "/spec/containers/0/livenessProbe",
                json!({"exec": {"command": []}, "tcpSocket": {"port": 80}, "successThreshold": 2}),
            )],
            &[
                "spec.containers[0].livenessProbe.exec.command: Required value",
                "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
                "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ],
        ),
        (
            vec![("/spec/containers/0/readinessProbe/httpGet/port", json!("no--port"))],
            &[
                "spec.containers[0].readinessProbe.httpGet.port: Invalid value: \"no--port\": must not contain consecutive",
            ],
        ),
        (
            vec![("/spec/restartPolicy", json!("Maybe"))],
            &[
                "spec.restartPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"Never\", \"OnFailure\"",
            ],
        ),
        (
            vec![("/spec/dnsPolicy", json!("None"))],
            &["spec.dnsConfig: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None"],
        ),
        (
            vec![(
                "/spec/dnsConfig",
                json!({"nameservers": ["1.1.1.1", "x"], "searches": ["a.b.", ".", "a b"], "options": [{}]}),
            )],
            &[
                "spec.dnsConfig.nameservers[1]: Invalid value: \"x\": must be a valid IP address",
                "spec.dnsConfig.searches[2]: Invalid value: \"a b\"",
                "spec.dnsConfig.options[0].name: Required value",
            ],
        ),
        (
            vec![("/spec/terminationGracePeriodSeconds", json!(-1))],
            &["spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            vec![("/spec/activeDeadlineSeconds", json!(0))],
            &["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"],
        ),
        (
            vec![(
                "/spec/containers/0/securityContext",
                json!({"privileged": true, "allowPrivilegeEscalation": false}),
            )],
            &["spec.containers[0].securityContext: Invalid value: {"],
        ),
        (
            vec![("/spec/securityContext/runAsUser", json!(-1))],
            &["spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive"],
        ),
        (
            vec![("/spec/hostname", json!("a.b"))],
            &["spec.hostname: Invalid value: \"a.b\": a lowercase RFC 1123 label"],
        ),
        (
            vec![
                ("/spec/schedulingGates", json!([{"name": "g"}])),
                ("/spec/nodeName", json!("n1")),
            ],
            &["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
    ];
    check_rows("", "pods", &pod(), &rows);
}

#[test]
fn scheduling() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![(
                "/spec/tolerations",
                json!([
                    {"operator": "Exists"},
                    {"operator": "Equal"},
                    {"key": "a", "operator": "Exists", "value": "b"},
                    {"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5},
                    {"key": "a", "operator": "Like"},
                    {"key": "a", "effect": "Never"},
                ]),
            )],
            &[
                "spec.tolerations[1].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty",
                "spec.tolerations[2].operator: Invalid value: \"b\": value must be empty when `operator` is 'Exists'",
                "spec.tolerations[3].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when",
                "spec.tolerations[4].operator: Unsupported value: \"Like\": supported values: \"Equal\", \"Exists\"",
                "spec.tolerations[5].effect: Unsupported value: \"Never\"",
            ],
        ),
        (
            vec![(
                "/spec/affinity",
                json!({
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []},
                        "preferredDuringSchedulingIgnoredDuringExecution": [{
                            "weight": 101, "preference": {"matchExpressions": [{"key": "a", "operator": "In"}]},
                        }],
                    },
                    "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]},
                }),
            )],
            &[
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required",
                "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101",
                "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions\
                 [0].values: Required value",
                "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required",
            ],
        ),
        (
            vec![(
                "/spec/topologySpreadConstraints",
                json!([
                    {"maxSkew": 0, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
                    {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"},
                    {"maxSkew": 1, "topologyKey": "", "whenUnsatisfiable": "Perhaps"},
                ]),
            )],
            &[
                "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
                "spec.topologySpreadConstraints[1].{topologyKey, whenUnsatisfiable}: Duplicate value: \"{zone, DoNotSchedule}\"",
                "spec.topologySpreadConstraints[2].topologyKey: Required value: can not be empty",
                "spec.topologySpreadConstraints[2].whenUnsatisfiable: Unsupported value: \"Perhaps\"",
            ],
        ),
        (
            vec![("/spec/nodeSelector", json!({"a b": "c"}))],
            &["spec.nodeSelector: Invalid value: \"a b\""],
        ),
    ];
    check_rows("", "pods", &pod(), &rows);
}

#[test]
fn updates() {
    let old = with(
        &pod(),
        &[
            (
                "/spec/tolerations",
                json!([{"key": "a", "operator": "Exists", "effect": "NoExecute"}]),
            ),
            ("/spec/activeDeadlineSeconds", json!(100)),
        ],
    );
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/metadata/labels", json!({"a": "b"}))], &[]),
        (vec![("/spec/containers/0/image", json!("nginx:2"))], &[]),
        (vec![("/spec/activeDeadlineSeconds", json!(50))], &[]),
        (
            vec![("/spec/activeDeadlineSeconds", json!(500))],
            &["spec.activeDeadlineSeconds: Invalid value: 500: must be less than or equal to previous value"],
        ),
        (
            vec![("/spec/tolerations/1", json!({"key": "b", "operator": "Exists"}))],
            &[],
        ),
        (
            vec![("/spec/tolerations", json!([]))],
            &["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"],
        ),
        (
            vec![("/spec/containers/0/env/0/value", json!("2"))],
            &[
                "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
               `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
               existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
               previously negative)",
            ],
        ),
        (
            vec![("/spec/nodeName", json!("n2"))],
            &["spec: Forbidden: pod updates may not change fields other than"],
        ),
        (
            vec![("/spec/containers", json!([]))],
            &[
                "spec.containers: Required value",
                "spec.containers: Forbidden: pod updates may not add or remove containers",
            ],
        ),
        (
            vec![("/spec/schedulingGates", json!([{"name": "g"}]))],
            &["spec.schedulingGates: Forbidden: only deletion is allowed, but found new scheduling gate 'g'"],
        ),
    ];
    for (changes, faults) in rows {
        assert_faults(&changes, &update("", "pods", &with(&old, &changes), &old), faults);
    }
}

#[test]
fn what_confines_containers() {
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (
            vec![("/spec/securityContext/seccompProfile", json!({"type": "Localhost"}))],
            &["spec.securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is"],
        ),
        (
            vec![(
                "/spec/containers/0/securityContext",
                json!({"appArmorProfile": {"type": "RuntimeDefault", "localhostProfile": "x"}}),
            )],
            &[
                "spec.containers[0].securityContext.appArmorProfile.localhostProfile: Invalid value: \"x\": can only be \
                 set when AppArmor type is Localhost",
            ],
        ),
        (
            vec![("/spec/securityContext/seccompProfile", json!({"type": "None"}))],
            &["spec.securityContext.seccompProfile.type: Unsupported value: \"None\": supported values: \"Localhost\""],
        ),
        (
            vec![("/spec/securityContext/fsGroupChangePolicy", json!("Never"))],
            &["spec.securityContext.fsGroupChangePolicy: Unsupported value: \"Never\""],
        ),
        (
            vec![(
                "/spec/securityContext/sysctls",
                json!([{"name": "net..x", "value": "1"}]),
            )],
            &["spec.securityContext.sysctls[0].name: Invalid value: \"net..x\": must have at most 253 characters"],
        ),
        (
            vec![(
                "/spec/containers/0/resources",
                json!({"limits": {"hugepages-2Mi": "2Mi"}}),
            )],
            &["spec.containers[0].resources: Forbidden: HugePages require cpu or memory"],
        ),
        (
            vec![("/spec/volumes/0", json!({"name": "v", "ephemeral": {}}))],
            &["spec.volumes[0].ephemeral.volumeClaimTemplate: Required value"],
        ),
        (
            vec![(
                "/spec/volumes/0",
                json!({"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}),
            )],
            &["spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value"],
        ),
        (
            vec![(
                "/spec/topologySpreadConstraints",
                json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {"a": "b"}}, "matchLabelKeys": ["a"]}]),
            )],
            &["spec.topologySpreadConstraints[0].matchLabelKeys[0]: Invalid value: \"a\": exists in both"],
        ),
    ];
    check_rows("", "pods", &pod(), &rows);
}

#[test]
fn a_gated_pod_can_only_be_told_more_about_where_it_goes() {
    let terms = |keys: &[&str]| {
        let expressions: Vec<Value> = keys
            .iter()
            .map(|key| json!({"key": key, "operator": "Exists"}))
            .collect();
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": expressions}]}}})
    };
    let gated = with(
        &pod(),
        &[
            ("/spec/schedulingGates", json!([{"name": "g"}])),
            ("/spec/nodeSelector", json!({"a": "b"})),
            ("/spec/affinity", terms(&["a"])),
        ],
    );
    let rows: Vec<(Vec<Change>, &[&str])> = vec![
        (vec![("/spec/nodeSelector", json!({"a": "b", "c": "d"}))], &[]),
        (
            vec![("/spec/nodeSelector", json!({"a": "c"}))],
            &["spec.nodeSelector: Invalid value: {\"a\":\"c\"}: only additions to spec.nodeSelector are allowed"],
        ),
        (vec![("/spec/affinity", terms(&["a", "b"]))], &[]),
        (
            vec![("/spec/affinity", terms(&["b"]))],
            &[
                "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]: \
                 Invalid value: ",
            ],
        ),
        (vec![("/spec/schedulingGates", json!([]))], &[]),
    ];
    for (changes, faults) in rows {
        assert_faults(&changes, &update("", "pods", &with(&gated, &changes), &gated), faults);
    }
}
