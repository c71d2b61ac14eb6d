use super::*;

fn range(items: &Value) -> LimitRange {
    serde_json::from_value(json!({"spec": {"limits": items}})).unwrap()
}

fn spec(containers: &Value) -> PodSpec {
    serde_json::from_value(json!({ "containers": containers })).unwrap()
}

fn container(name: &str, requests: &Value, limits: &Value) -> Value {
    json!({"name": name, "resources": {"requests": requests, "limits": limits}})
}

#[test]
fn containers_get_what_they_do_not_name() {
    let ranges = [range(&json!([
        {"type": "Container", "default": {"cpu": "500m", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}},
        {"type": "Pod", "max": {"cpu": "4"}},
    ]))];
    let mut pod = json!({"spec": {
        "containers": [{"name": "a"}, container("b", &json!({"cpu": "1"}), &json!({"cpu": "2"}))],
        "initContainers": [container("i", &json!({"cpu": "1"}), &json!({}))],
    }});
    complete(&mut pod, &ranges);
    let resources = |list: &str, index: usize| pod["spec"][list][index]["resources"].clone();
    assert_eq!(
        resources("containers", 0),
        json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m", "memory": "1Gi"}})
    );
    assert_eq!(
        resources("containers", 1),
        json!({"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}})
    );
    assert_eq!(
        resources("initContainers", 0),
        json!({"requests": {"cpu": "1"}, "limits": {"cpu": "500m", "memory": "1Gi"}})
    );
    assert_eq!(
        pod["metadata"]["annotations"][ANNOTATION],
        "LimitRanger plugin set: cpu request for container a; cpu, memory limit for container a; memory limit for \
         container b; cpu, memory limit for init container i"
    );
    let once = pod.clone();
    complete(&mut pod, &ranges);
    assert_eq!(pod, once, "again changes nothing");
}

#[test]
fn amounts_outside_the_bounds_are_refused() {
    let cpu = |amount: &str| json!({ "cpu": amount });
    let both = |amount: &str| json!([container("c", &cpu(amount), &cpu(amount))]);
    let rows = [
        (
            json!([{"type": "Container", "min": {"cpu": "100m"}}]),
            both("100m"),
            None,
        ),
        (
            json!([{"type": "Container", "min": {"cpu": "100m"}}]),
            both("50m"),
            Some("minimum cpu usage per Container is 100m, but request is 50m"),
        ),
        (
            json!([{"type": "Container", "min": {"cpu": "100m"}}]),
            json!([{"name": "c"}]),
            Some("minimum cpu usage per Container is 100m.  No request is specified"),
        ),
        (
            json!([{"type": "Container", "max": {"cpu": "1"}}]),
            json!([container("c", &cpu("500m"), &cpu("2"))]),
            Some("maximum cpu usage per Container is 1, but limit is 2"),
        ),
        (
            json!([{"type": "Container", "max": {"cpu": "1"}}]),
            json!([{"name": "c"}]),
            Some("maximum cpu usage per Container is 1.  No limit is specified"),
        ),
        (
            json!([{"type": "Container", "min": {"memory": "1Mi"}, "max": {"cpu": "1"}}]),
            json!([{"name": "c"}]),
            Some(
                "[minimum memory usage per Container is 1Mi.  No request is specified, maximum cpu usage per \
                 Container is 1.  No limit is specified]",
            ),
        ),
        (
            json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}]),
            json!([container("c", &cpu("100m"), &cpu("300m"))]),
            Some("cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"),
        ),
        (
            json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}]),
            json!([container("c", &cpu("100m"), &cpu("200m"))]),
            None,
        ),
        (
            json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}]),
            json!([container("c", &json!({}), &cpu("200m"))]),
            Some("cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"),
        ),
        (
            json!([{"type": "Pod", "max": {"cpu": "1"}}]),
            json!([
                container("a", &cpu("600m"), &cpu("600m")),
                container("b", &cpu("600m"), &cpu("600m"))
            ]),
            Some("maximum cpu usage per Pod is 1, but limit is 1200m"),
        ),
    ];
    for (items, containers, expected) in rows {
        let found = check_pod(&spec(&containers), &[range(&items)]);
        assert_eq!(found.as_deref(), expected, "{items} {containers}");
    }
}

#[test]
fn claims_are_as_big_as_the_ranges_say() {
    let ranges = [range(
        &json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]),
    )];
    let rows = [
        ("1Gi", None),
        ("2Gi", None),
        (
            "512Mi",
            Some("minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi"),
        ),
        (
            "3Gi",
            Some("maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"),
        ),
    ];
    for (size, expected) in rows {
        let claim = json!({"spec": {"resources": {"requests": {"storage": size}}}});
        let claim = serde_json::from_value(claim).unwrap();
        assert_eq!(check_claim(&claim, &ranges).as_deref(), expected, "{size}");
    }
}
