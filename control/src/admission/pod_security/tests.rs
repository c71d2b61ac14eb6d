use serde_json::json;

use super::*;

const LATEST: Version = Version::Latest;

fn found(level: Level, version: Version, spec: &Value) -> String {
    let spec: PodSpec = serde_json::from_value(spec.clone()).unwrap();
    violations(LevelVersion { level, version }, &ObjectMeta::default(), &spec).to_string()
}

fn baseline(spec: &Value) -> String {
    found(Level::Baseline, LATEST, spec)
}

/// A pod that violates nothing, with other fields.
fn hardened(pod: &Value, container: &Value) -> Value {
    let mut spec = json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "c", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
        }}],
    });
    merge(&mut spec, pod);
    merge(&mut spec["containers"][0], container);
    spec
}

fn merge(into: &mut Value, from: &Value) {
    match from.as_object() {
        Some(fields) if into.is_object() => {
            for (field, value) in fields {
                merge(&mut into[field], value);
            }
        }
        _ => *into = from.clone(),
    }
}

fn with_context(context: &Value) -> Value {
    json!({"containers": [{"name": "c", "securityContext": context}]})
}

#[test]
fn baseline_finds_ways_out_of_a_pod() {
    let rows = [
        (json!({"containers": [{"name": "c"}]}), ""),
        (
            json!({"hostNetwork": true, "hostIPC": true, "containers": []}),
            "host namespaces (hostNetwork=true, hostIPC=true)",
        ),
        (
            with_context(&json!({"privileged": true})),
            "privileged (container \"c\" must not set securityContext.privileged=true)",
        ),
        (
            with_context(&json!({"capabilities": {"add": ["NET_ADMIN", "CHOWN", "BPF"]}})),
            "non-default capabilities (container \"c\" must not include \"BPF\", \"NET_ADMIN\" in \
             securityContext.capabilities.add)",
        ),
        (
            json!({"containers": [], "volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
            "hostPath volumes (volume \"v\")",
        ),
        (
            json!({
                "initContainers": [{"name": "i", "ports": [{"containerPort": 1, "hostPort": 2}]}],
                "containers": [{"name": "c", "ports": [{"containerPort": 1, "hostPort": 1}, {"containerPort": 3}]}],
            }),
            "hostPort (containers \"i\", \"c\" use hostPorts 1, 2)",
        ),
        (
            json!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": 1, "host": "h"}}}]}),
            "probe or lifecycle host (container \"c\" uses probe or lifecycle host \"h\")",
        ),
        (
            with_context(&json!({"procMount": "Unmasked"})),
            "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            json!({"securityContext": {"seLinuxOptions": {"user": "u"}},
                "containers": [{"name": "c", "securityContext": {"seLinuxOptions": {"type": "t"}}}]}),
            "seLinuxOptions (pod and container \"c\" set forbidden securityContext.seLinuxOptions: type \"t\"; user \
             may not be set)",
        ),
        (
            json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}, "containers": []}),
            "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            with_context(&json!({"appArmorProfile": {"type": "Unconfined"}})),
            "forbidden AppArmor profile (container \"c\" must not set AppArmor profile type to \"Unconfined\")",
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"},
                {"name": "kernel.msgmax", "value": "1"}]}, "containers": []}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            with_context(&json!({"windowsOptions": {"hostProcess": true}})),
            "hostProcess (container \"c\" must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ];
    for (spec, expected) in rows {
        assert_eq!(baseline(&spec), expected, "{spec}");
        assert_eq!(found(Level::Privileged, LATEST, &spec), "", "{spec}");
    }
}

#[test]
fn restricted_asks_for_a_hardened_pod() {
    let none = json!({});
    let rows = [
        (hardened(&none, &none), ""),
        (
            json!({"containers": [{"name": "c"}]}),
            "allowPrivilegeEscalation != false (container \"c\" must set \
             securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set \
             securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set \
             securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set \
             securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
        ),
        (
            hardened(
                &none,
                &json!({"securityContext": {"capabilities": {"add": ["CHOWN", "NET_BIND_SERVICE"]}}}),
            ),
            "unrestricted capabilities (container \"c\" must not include \"CHOWN\" in \
             securityContext.capabilities.add)",
        ),
        (
            hardened(
                &json!({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/"}},
                    {"name": "d", "nfs": {"server": "s", "path": "/"}}]}),
                &none,
            ),
            "restricted volume types (volumes \"b\", \"d\" use restricted volume types \"hostPath\", \"nfs\")",
        ),
        (
            hardened(
                &none,
                &json!({"securityContext": {"runAsNonRoot": false, "runAsUser": 0}}),
            ),
            "runAsNonRoot != true (container \"c\" must not set securityContext.runAsNonRoot=false), runAsUser=0 \
             (container \"c\" must not set runAsUser=0)",
        ),
        (
            hardened(
                &none,
                &json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            ),
            "seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            hardened(
                &json!({"hostPID": true}),
                &json!({"securityContext": {"privileged": true}}),
            ),
            "host namespaces (hostPID=true), privileged (container \"c\" must not set \
             securityContext.privileged=true)",
        ),
        (
            hardened(
                &json!({"hostUsers": false, "securityContext": {"runAsNonRoot": null}}),
                &none,
            ),
            "",
        ),
        (
            json!({"os": {"name": "windows"}, "securityContext": {"runAsNonRoot": true}, "containers": [{"name": "c"}]}),
            "",
        ),
    ];
    for (spec, expected) in rows {
        assert_eq!(found(Level::Restricted, LATEST, &spec), expected, "{spec}");
    }
}

#[test]
fn controls_are_those_of_the_version() {
    let silent = json!({"containers": [{"name": "c"}]});
    let chown = hardened(
        &json!({}),
        &json!({"securityContext": {"capabilities": {"add": ["BPF"]}}}),
    );
    let sysctl = json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]},
        "containers": []});
    let rows = [
        (
            "no field for it yet",
            Level::Restricted,
            7,
            &silent,
            "runAsNonRoot != true (pod or container \"c\" must set \
          securityContext.runAsNonRoot=true)",
        ),
        (
            "capabilities as in baseline",
            Level::Restricted,
            21,
            &chown,
            "non-default capabilities (container \"c\" \
          must not include \"BPF\" in securityContext.capabilities.add)",
        ),
        (
            "not allowed yet",
            Level::Baseline,
            31,
            &sysctl,
            "forbidden sysctls (net.ipv4.tcp_rmem)",
        ),
        ("allowed since", Level::Baseline, 32, &sysctl, ""),
    ];
    for (row, level, minor, spec, expected) in rows {
        assert_eq!(found(level, Version::Minor(minor), spec), expected, "{row}");
    }
}

#[test]
fn annotations_of_old_are_looked_at_too() {
    let metadata = ObjectMeta {
        annotations: serde_json::from_value(json!({
            "container.apparmor.security.beta.kubernetes.io/c": "unconfined",
            "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
        }))
        .unwrap(),
        ..ObjectMeta::default()
    };
    let rows = [
        (
            18,
            "forbidden AppArmor profile (container.apparmor.security.beta.kubernetes.io/c=\"unconfined\"), \
             seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")",
        ),
        (
            19,
            "forbidden AppArmor profile (container.apparmor.security.beta.kubernetes.io/c=\"unconfined\")",
        ),
    ];
    for (minor, expected) in rows {
        let standard = LevelVersion {
            level: Level::Baseline,
            version: Version::Minor(minor),
        };
        assert_eq!(
            violations(standard, &metadata, &PodSpec::default()).to_string(),
            expected,
            "1.{minor}"
        );
    }
}

#[test]
fn labels_choose_levels() {
    let rows = [
        (json!({}), "privileged:latest", "privileged:latest", ""),
        (json!({"enforce": "baseline"}), "baseline:latest", "baseline:latest", ""),
        (
            json!({"enforce": "baseline", "enforce-version": "v1.30", "warn": "restricted"}),
            "baseline:v1.30",
            "restricted:latest",
            "",
        ),
        (
            json!({"enforce": "restricted", "enforce-version": "v1.30"}),
            "restricted:v1.30",
            "restricted:v1.30",
            "",
        ),
        (
            json!({"enforce": "restricted", "warn": "privileged"}),
            "restricted:latest",
            "privileged:latest",
            "",
        ),
        (
            json!({"enforce": "strict"}),
            "restricted:latest",
            "privileged:latest",
            "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of \
             privileged, baseline, restricted",
        ),
        (
            json!({"audit-version": "v1.01"}),
            "privileged:latest",
            "privileged:latest",
            "metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: \"v1.01\": must be \"latest\" \
             or \"v1.x\"",
        ),
    ];
    for (labels, enforce, warn, fault) in rows {
        let mut namespace = json!({});
        for (mode, value) in labels.as_object().unwrap() {
            namespace["metadata"]["labels"][format!("{LABEL_PREFIX}{mode}")] = value.clone();
        }
        let (policy, faults) = Policy::of(&namespace);
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(policy.enforce.to_string(), enforce, "{labels}");
        assert_eq!(policy.warn.to_string(), warn, "{labels}");
        assert_eq!(faults.join("; "), fault, "{labels}");
    }
}

#[test]
fn pods_that_are_alike_are_told_of_together() {
    let standard = LevelVersion {
        level: Level::Baseline,
        version: LATEST,
    };
    let of = |spec: Value| {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        violations(standard, &ObjectMeta::default(), &spec)
    };
    let host = || of(json!({"hostNetwork": true, "containers": []}));
    let fine = || of(json!({"containers": []}));
    let pods = [
        ("c".to_owned(), host()),
        ("a".to_owned(), host()),
        ("b".to_owned(), fine()),
        ("d".to_owned(), host()),
        ("e".to_owned(), of(with_context(&json!({"privileged": true})))),
    ];
    assert_eq!(
        warnings_of_existing(Existing::Pods, "n", standard, &pods, 9),
        [
            "new PodSecurity enforce level only checked against the first 5 of 9 existing pods",
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "a (and 2 other pods): host namespaces",
            "e: privileged",
        ]
    );
    assert_eq!(
        warnings_of_existing(Existing::Pods, "n", standard, &pods[2..3], 1),
        [""; 0]
    );
}

#[test]
fn only_changes_of_what_runs_are_looked_at() {
    let pod = |image: &str| json!({"spec": {"containers": [{"name": "c", "image": image}]}});
    let mut helped = pod("a");
    helped["spec"]["ephemeralContainers"] = json!([{"name": "e", "image": "i"}]);
    let mut labelled = pod("a");
    labelled["metadata"]["labels"] = json!({"a": "b"});
    for (new, expected) in [(pod("a"), false), (labelled, false), (pod("b"), true), (helped, true)] {
        assert_eq!(is_significant(&pod("a"), &new), expected, "{new}");
    }
}
