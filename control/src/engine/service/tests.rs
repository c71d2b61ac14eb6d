use super::*;

fn allocator(range: &str, ports: RangeInclusive<u16>) -> Allocator {
    Allocator {
        range: range.parse().unwrap(),
        reserved: vec!["10.43.0.1".parse().unwrap(), "10.43.0.10".parse().unwrap()],
        ports,
        taken: Mutex::new(Claims::default()),
    }
}

fn service(spec: Value) -> Value {
    json!({"metadata": {"name": "s"}, "spec": spec})
}

#[test]
fn what_a_new_service_gets() {
    let allocator = allocator("10.43.0.0/16", 30000..=32767);
    let rows = [
        ("cluster address", json!({"ports": [{"port": 80}]}), true, 0),
        (
            "headless",
            json!({"clusterIP": "None", "ports": [{"port": 80}]}),
            false,
            0,
        ),
        (
            "external name",
            json!({"type": "ExternalName", "externalName": "a.b"}),
            false,
            0,
        ),
        (
            "node port",
            json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 81}]}),
            true,
            2,
        ),
        (
            "load balancer",
            json!({"type": "LoadBalancer", "ports": [{"port": 80}]}),
            true,
            1,
        ),
        (
            "load balancer without node ports",
            json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}]}),
            true,
            0,
        ),
        (
            "one number for two protocols",
            json!({"type": "NodePort", "ports": [
                {"port": 53, "protocol": "UDP", "nodePort": 30053}, {"port": 53, "protocol": "TCP", "nodePort": 30053}]}),
            true,
            1,
        ),
    ];
    for (name, spec, address, ports) in rows {
        let mut new = service(spec);
        let change = allocator.change(None, &mut new, 7).unwrap();
        assert_eq!(change.gained.addresses.len(), usize::from(address), "{name}: {new}");
        assert_eq!(change.gained.ports.len(), ports, "{name}: {new}");
        assert_eq!(change.writes("a", "s").len(), usize::from(address) + ports, "{name}");
        if address {
            assert_eq!(new["spec"]["clusterIPs"][0], new["spec"]["clusterIP"], "{name}");
            assert_eq!(new["spec"]["ipFamilies"], json!(["IPv4"]), "{name}");
        }
    }
}

#[test]
fn what_is_refused() {
    let allocator = allocator("10.43.0.0/16", 30000..=32767);
    let rows = [
        (json!({"clusterIP": "10.44.0.1"}), "spec.clusterIPs"),
        (json!({"clusterIP": "10.43.0.0"}), "spec.clusterIPs"),
        (json!({"clusterIP": "x"}), "spec.clusterIPs"),
        (
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 99_999}]}),
            "spec.ports[0].nodePort",
        ),
        (
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": -1}]}),
            "spec.ports[0].nodePort",
        ),
        (
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}),
            "spec.ports[0].nodePort",
        ),
        (
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30001}, {"port": 81, "nodePort": 30001}]}),
            "spec.ports[1].nodePort",
        ),
    ];
    for (spec, field) in rows {
        let errors = allocator.change(None, &mut service(spec.clone()), 0).unwrap_err();
        assert_eq!(errors[0].field, field, "{spec}");
    }
}

#[test]
fn an_address_is_picked_until_none_is_left_reserved_ones_never() {
    let allocator = allocator("10.43.0.0/28", 30000..=30001);
    let mut picked = BTreeSet::new();
    for seed in 0..12 {
        let mut new = service(json!({"ports": [{"port": 80}]}));
        let change = allocator.change(None, &mut new, seed).unwrap();
        allocator.committed(&change);
        assert!(picked.insert(new["spec"]["clusterIP"].as_str().unwrap().to_owned()));
    }
    assert!(
        !picked.contains("10.43.0.1") && !picked.contains("10.43.0.10"),
        "{picked:?}"
    );
    assert!(allocator.change(None, &mut service(json!({})), 1).is_err());
    let mut asked = service(json!({"clusterIP": "10.43.0.10"}));
    allocator.change(None, &mut asked, 1).unwrap();
}

#[test]
fn updates_keep_gain_and_lose() {
    let allocator = allocator("10.43.0.0/16", 30000..=32767);
    let mut old = service(json!({"type": "NodePort", "ports": [{"port": 80}]}));
    allocator.change(None, &mut old, 3).unwrap();

    let mut same = service(json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 443}]}));
    carry_over(&old, &mut same);
    let change = allocator.change(Some(&old), &mut same, 4).unwrap();
    assert_eq!(same["spec"]["clusterIP"], old["spec"]["clusterIP"]);
    assert_eq!(
        same["spec"]["ports"][0]["nodePort"],
        old["spec"]["ports"][0]["nodePort"]
    );
    assert_eq!((change.gained.ports.len(), change.lost.ports.len()), (1, 0));
    assert!(change.gained.addresses.is_empty());

    old["spec"]["externalTrafficPolicy"] = json!("Cluster");
    let mut plain = old.clone();
    plain["spec"]["type"] = json!("ClusterIP");
    carry_over(&old, &mut plain);
    assert!(plain["spec"].get("externalTrafficPolicy").is_none());
    let change = allocator.change(Some(&old), &mut plain, 5).unwrap();
    assert_eq!(plain["spec"]["ports"], json!([{"port": 80}]));
    assert_eq!((change.gained.ports.len(), change.lost.ports.len()), (0, 1));

    let mut name = old.clone();
    name["spec"]["type"] = json!("ExternalName");
    carry_over(&old, &mut name);
    let change = allocator.change(Some(&old), &mut name, 6).unwrap();
    assert!(name["spec"].get("clusterIP").is_none());
    assert_eq!((change.lost.addresses.len(), change.lost.ports.len()), (1, 1));

    assert_eq!(allocator.release(&old).lost, claims(&old));
}
