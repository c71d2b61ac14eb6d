use api::Kind;
use serde_json::{Value, json};

use super::*;
use crate::simulation::{Cluster, assert_robust};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn quota(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}

fn pod(name: &str, spec: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": {
            "requests": {"cpu": "100m"}, "limits": {"cpu": "200m"},
        }}]},
    });
    for (field, value) in spec.as_object().unwrap() {
        pod["spec"][field] = value.clone();
    }
    pod
}

fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}})
}

/// What a quota's status says is used.
fn told(cluster: &Cluster, name: &str) -> String {
    let status = cluster
        .get::<ResourceQuota>("default", name)
        .status
        .clone()
        .unwrap_or_default();
    let used = status.used.unwrap_or_default();
    used.iter()
        .map(|(name, amount)| format!("{name}={}", amount.0))
        .collect::<Vec<_>>()
        .join(",")
}

fn shown(amounts: &Amounts) -> String {
    amounts
        .iter()
        .map(|(name, amount)| format!("{name}={amount}"))
        .collect::<Vec<_>>()
        .join(",")
}

fn object(kind: Kind, json: &Value) -> Object {
    Object::decode(kind, json.to_string().as_bytes()).unwrap()
}

#[test]
fn objects_take_what_they_ask_for() {
    let rows = [
        (
            Kind::Pod,
            json!({"spec": {"containers": [{"name": "c", "resources": {
                "requests": {"cpu": "1", "hugepages-2Mi": "2Mi", "example.com/gpu": "3"}, "limits": {"memory": "1Gi"},
            }}]}}),
            "count/pods=1,cpu=1,hugepages-2Mi=2Mi,limits.memory=1Gi,pods=1,requests.cpu=1,\
             requests.example.com/gpu=3,requests.hugepages-2Mi=2Mi",
        ),
        (Kind::Pod, json!({"status": {"phase": "Failed"}}), "count/pods=1"),
        (
            Kind::Pod,
            json!({"metadata": {"deletionTimestamp": "1969-12-31T23:59:00Z", "deletionGracePeriodSeconds": 30}}),
            "count/pods=1",
        ),
        (
            Kind::Pod,
            json!({"metadata": {"deletionTimestamp": "1969-12-31T23:59:50Z", "deletionGracePeriodSeconds": 30}}),
            "count/pods=1,pods=1",
        ),
        (
            Kind::PersistentVolumeClaim,
            json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1500m"}}}}),
            "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
             gold.storageclass.storage.k8s.io/requests.storage=2,persistentvolumeclaims=1,requests.storage=2",
        ),
        (
            Kind::Service,
            json!({"spec": {"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}}),
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2",
        ),
        (
            Kind::Service,
            json!({"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false,
                "ports": [{"port": 1, "nodePort": 30001}, {"port": 2}]}}),
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1",
        ),
        (Kind::Secret, json!({}), "count/secrets=1,secrets=1"),
        (
            Kind::Deployment,
            json!({"spec": {"selector": {}, "template": {}}}),
            "count/deployments.apps=1",
        ),
    ];
    for (kind, json, expected) in rows {
        let (object, collection) = (object(kind, &json), kind.collection());
        let item = Counted::new(&collection, Some(&object)).unwrap();
        let usage = item.usage(NOW);
        assert_eq!(shown(&usage), expected, "{kind} {json}");
        for name in usage.keys().filter(|name| !name.starts_with("hugepages")) {
            assert!(item.is_counted_by(name), "{kind} is counted by {name}");
        }
    }
    assert!(Counted::new("events", None).is_none(), "events come by themselves");
}

#[test]
fn names_of_quotas_are_about_some_kinds() {
    let rows = [
        ("pods", "pods", true),
        ("count/pods", "pods", true),
        ("requests.example.com/gpu", "pods", true),
        ("example.com/gpu", "pods", false),
        ("requests.storage", "pods", false),
        ("count/services", "pods", false),
        ("count/widgets.example.com", "example.com/widgets", true),
        ("count/widgets", "example.com/widgets", false),
        ("widgets", "widgets", false),
        ("configmaps", "configmaps", true),
    ];
    let a_pod = object(Kind::Pod, &json!({}));
    for (name, collection, expected) in rows {
        let item = Counted::new(collection, (collection == "pods").then_some(&a_pod)).unwrap();
        assert_eq!(item.is_counted_by(name), expected, "{name} {collection}");
    }
}

#[test]
fn scopes_choose_objects() {
    let asks = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]});
    let plain = json!({"containers": [{"name": "c"}]});
    let with = |spec: &Value, field: &str, value: Value| {
        let mut spec = spec.clone();
        spec[field] = value;
        spec
    };
    let term = json!({"topologyKey": "k", "namespaces": ["b"]});
    let far = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let near = json!({"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
        [{"weight": 1, "podAffinityTerm": {"topologyKey": "k"}}]}});
    let class = |operator: &str, values: Value| {
        json!({"scopeSelector": {"matchExpressions":
            [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}})
    };
    let high = with(&plain, "priorityClassName", json!("high"));
    let rows = [
        (json!({}), plain.clone(), true),
        (json!({"scopes": ["BestEffort"]}), plain.clone(), true),
        (json!({"scopes": ["BestEffort"]}), asks.clone(), false),
        (json!({"scopes": ["NotBestEffort"]}), asks.clone(), true),
        (
            json!({"scopes": ["Terminating"]}),
            with(&plain, "activeDeadlineSeconds", json!(5)),
            true,
        ),
        (json!({"scopes": ["Terminating"]}), plain.clone(), false),
        (json!({"scopes": ["NotTerminating"]}), plain.clone(), true),
        (json!({"scopes": ["NotTerminating", "BestEffort"]}), asks, false),
        (json!({"scopes": ["PriorityClass"]}), high.clone(), true),
        (json!({"scopes": ["PriorityClass"]}), plain.clone(), false),
        (class("In", json!(["high"])), high.clone(), true),
        (class("In", json!(["low"])), high.clone(), false),
        (class("NotIn", json!(["low"])), high.clone(), true),
        (class("NotIn", json!(["high"])), high.clone(), false),
        (class("NotIn", json!(["high"])), plain.clone(), true),
        (class("DoesNotExist", json!([])), plain.clone(), true),
        (class("DoesNotExist", json!([])), high, false),
        (
            json!({"scopes": ["CrossNamespacePodAffinity"]}),
            with(&plain, "affinity", far),
            true,
        ),
        (
            json!({"scopes": ["CrossNamespacePodAffinity"]}),
            with(&plain, "affinity", near),
            false,
        ),
        (json!({"scopes": ["VolumeAttributesClass"]}), plain, false),
    ];
    for (scopes, spec, expected) in rows {
        let quota: ResourceQuota = serde_json::from_value(quota("q", &scopes)).unwrap();
        let pod = object(Kind::Pod, &json!({ "spec": spec }));
        let item = Counted::new("pods", Some(&pod)).unwrap();
        assert_eq!(scope::covers(&quota, item), expected, "{scopes} {spec}");
    }
    let claim = object(
        Kind::PersistentVolumeClaim,
        &json!({"spec": {"volumeAttributesClassName": "fast"}}),
    );
    let item = Counted::new("persistentvolumeclaims", Some(&claim)).unwrap();
    for (scopes, expected) in [
        (json!({}), true),
        (json!({"scopes": ["VolumeAttributesClass"]}), true),
        (json!({"scopes": ["BestEffort"]}), false),
    ] {
        let quota: ResourceQuota = serde_json::from_value(quota("q", &scopes)).unwrap();
        assert_eq!(scope::covers(&quota, item), expected, "{scopes}");
    }
}

#[test]
fn a_quota_follows_its_namespace() {
    let mut cluster = Cluster::with_nodes(1);
    let hard = json!({"hard": {"pods": "5", "requests.cpu": "1", "configmaps": "9", "count/deployments.apps": "1"}});
    cluster.apply(&quota("all", &hard));
    cluster.apply(&quota(
        "ends",
        &json!({"hard": {"pods": "5"}, "scopes": ["Terminating"]}),
    ));
    let maps = cluster.server.world.of_kind_in(Kind::ConfigMap, "default").count();
    assert_eq!(
        told(&cluster, "all"),
        format!("configmaps={maps},count/deployments.apps=0,pods=0,requests.cpu=0")
    );
    cluster.apply(&pod("a", &json!({})));
    cluster.apply(&pod("b", &json!({"activeDeadlineSeconds": 3600})));
    cluster.apply(&config_map("m"));
    assert_eq!(
        told(&cluster, "all"),
        format!(
            "configmaps={},count/deployments.apps=0,pods=2,requests.cpu=200m",
            maps + 1
        )
    );
    assert_eq!(told(&cluster, "ends"), "pods=1");
    cluster.edit::<ResourceQuota>("default", "all", |quota| {
        let hard = quota.spec.get_or_insert_default().hard.get_or_insert_default();
        hard.retain(|name, _| name == "pods");
    });
    assert_eq!(
        told(&cluster, "all"),
        "pods=2",
        "a resource that is no longer limited is no longer counted"
    );
    cluster.delete(Kind::Pod, "default", "a");
    cluster.tick(Duration::from_secs(60));
    assert_eq!(told(&cluster, "all"), "pods=1");
}

#[test]
fn a_pod_whose_node_does_not_stop_it_counts_no_longer_than_its_grace() {
    let mut cluster = Cluster::with_nodes(1);
    cluster.apply(&quota("all", &json!({"hard": {"pods": "5"}})));
    cluster.apply(&pod("a", &json!({})));
    cluster.stops_hang = true;
    cluster.delete(Kind::Pod, "default", "a");
    assert_eq!(told(&cluster, "all"), "pods=1");
    cluster.tick(Duration::from_secs(70));
    assert!(cluster.find::<Pod>("default", "a").is_some());
    assert_eq!(told(&cluster, "all"), "pods=0");
}

#[test]
fn kinds_that_planners_do_not_decode_are_counted_by_their_number() {
    let mut world = World::default();
    world.count("default", "example.com/widgets", 3);
    world.count("other", "example.com/widgets", 1);
    let json = quota("q", &json!({"hard": {"count/widgets.example.com": "5"}}));
    let quota: ResourceQuota = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(shown(&used(&world, &quota, NOW)), "count/widgets.example.com=3");
    world.put(object(Kind::ResourceQuota, &json));
    let key = ObjectKey::new(Kind::ResourceQuota, "default", "q");
    assert_eq!(Quotas.tallied(&world, "default", "example.com/widgets"), [key]);
    assert_eq!(Quotas.tallied(&world, "other", "example.com/widgets"), []);
}

#[test]
fn ends_alike_whatever_happens() {
    assert_robust(|cluster| {
        cluster.add_nodes(1);
        cluster.apply(&quota("all", &json!({"hard": {"pods": "5", "configmaps": "5"}})));
        cluster.apply(&pod("a", &json!({})));
        cluster.apply(&pod("b", &json!({})));
        cluster.apply(&config_map("m"));
        cluster.delete(Kind::Pod, "default", "a");
    });
}
