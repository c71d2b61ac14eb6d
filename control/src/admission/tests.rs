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
