use super::*;

const TIME: Duration = Duration::from_secs(300);

#[test]
fn a_plain_pod_gets_account_and_tolerations() {
    let mut pod = json!({"spec": {"containers": []}});
    complete_pod(&mut pod, TIME);
    let spec = &pod["spec"];
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["serviceAccount"], "default");
    let keys: Vec<&str> = spec["tolerations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|toleration| toleration["key"].as_str().unwrap())
        .collect();
    assert_eq!(keys, [NOT_READY, UNREACHABLE]);
    assert_eq!(spec["tolerations"][0]["tolerationSeconds"], 300);
}

#[test]
fn what_the_pod_says_stays() {
    let rows = [
        (json!([{"operator": "Exists"}]), 1),
        (
            json!([{"key": NOT_READY, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]),
            2,
        ),
        (
            json!([{"key": NOT_READY, "operator": "Exists", "effect": "NoSchedule"}]),
            3,
        ),
        (json!([{"key": "other", "operator": "Exists"}]), 3),
    ];
    for (tolerations, count) in rows {
        let mut pod = json!({"spec": {"serviceAccountName": "me", "tolerations": tolerations.clone()}});
        complete_pod(&mut pod, TIME);
        assert_eq!(pod["spec"]["serviceAccountName"], "me");
        assert_eq!(
            pod["spec"]["tolerations"].as_array().unwrap().len(),
            count,
            "{tolerations}"
        );
    }
}

#[test]
fn a_pod_gets_a_volume_with_a_token_unless_it_wants_none() {
    let yes = |wish: Value| json!({ "automountServiceAccountToken": wish });
    let rows = [
        ("nobody says", Value::Null, Value::Null, true),
        ("the account does not want it", Value::Null, json!(false), false),
        ("the pod does not want it", json!(false), Value::Null, false),
        ("the pod decides", json!(true), json!(false), true),
        ("the pod decides against it", json!(false), json!(true), false),
    ];
    for (row, of_pod, of_account, mounted) in rows {
        let mut pod = json!({ "spec": yes(of_pod) });
        pod["spec"]["containers"] = json!([{ "name": "a" }]);
        give_account(&mut pod, &yes(of_account), "x2x2x");
        let spec = &pod["spec"];
        let mount = &spec["containers"][0]["volumeMounts"][0];
        assert_eq!(spec["volumes"][0]["name"] == "kube-api-access-x2x2x", mounted, "{row}");
        assert_eq!(mount["mountPath"] == TOKEN_MOUNT_PATH, mounted, "{row}");
        assert!(spec.get("initContainers").is_none(), "{row}: nothing else is added");
    }
}

#[test]
fn what_is_mounted_already_stays() {
    let mut pod = json!({ "spec": {
        "containers": [
            { "name": "own", "volumeMounts": [{ "name": "v", "mountPath": TOKEN_MOUNT_PATH }] },
            { "name": "none" },
        ],
        "initContainers": [{ "name": "init" }],
        "volumes": [{ "name": "v", "emptyDir": {} }],
    }});
    give_account(&mut pod, &json!({}), "x");
    let spec = &pod["spec"];
    assert_eq!(spec["containers"][0]["volumeMounts"].as_array().unwrap().len(), 1);
    for container in [&spec["containers"][1], &spec["initContainers"][0]] {
        assert_eq!(
            container["volumeMounts"],
            json!([{ "name": "kube-api-access-x", "readOnly": true, "mountPath": TOKEN_MOUNT_PATH }])
        );
    }
    assert_eq!(spec["volumes"].as_array().unwrap().len(), 2);
    let once = pod.clone();
    give_account(&mut pod, &json!({}), "y");
    assert_eq!(pod, once, "again changes nothing");
}

#[test]
fn secrets_to_pull_with_come_from_the_account_unless_the_pod_has_its_own() {
    let account = json!({ "imagePullSecrets": [{ "name": "a" }] });
    for (own, expected) in [(json!([]), "a"), (json!([{ "name": "p" }]), "p")] {
        let mut pod = json!({ "spec": { "imagePullSecrets": own } });
        give_account(&mut pod, &account, "x");
        assert_eq!(pod["spec"]["imagePullSecrets"], json!([{ "name": expected }]));
    }
}

#[test]
fn a_new_node_takes_no_pods_until_it_is_ready() {
    let taint = json!({"key": NOT_READY, "effect": "NoSchedule"});
    let other = json!({"key": "gpu", "effect": "NoSchedule"});
    let rows = [
        (json!({}), json!([taint])),
        (json!({"spec": {"taints": [other]}}), json!([other, taint])),
        (json!({"spec": {"taints": [taint]}}), json!([taint])),
    ];
    for (mut node, expected) in rows {
        taint_new_node(&mut node);
        assert_eq!(node["spec"]["taints"], expected);
    }
}
