use super::*;

#[test]
fn what_is_not_there_need_not_be_asked() {
    let spec = json!({ "service": { "namespace": "n", "name": "s", "port": 8443 } });
    let service = |port: u16| json!({ "spec": { "ports": [{ "name": "api", "port": port }] } });
    let slice = |name: &str, ready: Value| {
        json!({
            "ports": [{ "name": name, "port": 443 }],
            "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": { "ready": ready } }],
        })
    };
    // (service, slices, reason, a part of the message)
    let rows = [
        (None, vec![], "ServiceNotFound", "service/s in \"n\" is not present"),
        (
            Some(service(443)),
            vec![],
            "ServicePortError",
            "not listening on port 8443",
        ),
        (Some(service(8443)), vec![], "EndpointsNotFound", "cannot find"),
        (
            Some(service(8443)),
            vec![slice("other", json!(true)), slice("api", json!(false))],
            "MissingEndpoints",
            "port name \"api\"",
        ),
    ];
    for (service, slices, reason, message) in rows {
        let verdict = obstacle(&spec, service.as_ref(), &slices).expect(reason);
        assert_eq!(verdict.reason, reason);
        assert!(verdict.message.contains(message), "{}", verdict.message);
    }
    for ready in [json!(true), json!(null)] {
        assert_eq!(obstacle(&spec, Some(&service(8443)), &[slice("api", ready)]), None);
    }
    let by_default = json!({ "service": { "namespace": "n", "name": "s" } });
    assert_eq!(
        obstacle(&by_default, Some(&service(443)), &[slice("api", json!(true))]),
        None
    );
}

#[test]
fn a_status_is_written_when_it_changes() {
    let at = |text: &str| text.parse::<Timestamp>().expect("a time");
    let (first, later) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:01:00Z"));
    let mut service = json!({ "status": {} });
    service["status"] = status(&service, &Verdict::failed("https://s.n.svc:443/apis", "no"), first).expect("new");
    let condition = &service["status"]["conditions"][0];
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("False"), &json!("FailedDiscoveryCheck"))
    );
    assert_eq!(condition["lastTransitionTime"], "2026-01-01T00:00:00Z");
    assert_eq!(
        status(&service, &Verdict::failed("https://s.n.svc:443/apis", "no"), later),
        None
    );
    service["status"] = status(&service, &Verdict::passed(), later).expect("another");
    let condition = &service["status"]["conditions"][0];
    assert_eq!(
        (&condition["status"], &condition["reason"]),
        (&json!("True"), &json!("Passed"))
    );
    assert_eq!(condition["lastTransitionTime"], "2026-01-01T00:01:00Z");
}
