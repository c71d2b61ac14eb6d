use api::{
    k8s_openapi::api::core::v1::Pod,
    node_stream::{Protocol, Service, ServicePort},
};
use serde_json::{Value, json};

use super::{EnvError, Sources, environment, expand};
use crate::pods::{fields::PodFacts, objects::Objects};

fn service(namespace: &str, name: &str, ports: &[(&str, Protocol, u32)]) -> Service {
    Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        cluster_ips: vec![vec![10, 43, 0, 1]],
        ports: ports
            .iter()
            .map(|(name, protocol, port)| ServicePort {
                name: (*name).to_owned(),
                protocol: (*protocol).into(),
                port: *port,
                node_port: 0,
            })
            .collect(),
        ..Service::default()
    }
}

fn objects() -> Objects {
    let objects = Objects::default();
    let map = json!({"metadata": {"namespace": "ns", "name": "cm"}, "data": {"a": "1", "b": "2", "no=name": "3"}});
    objects.put_config_map(serde_json::from_value(map).unwrap());
    let secret = json!({"metadata": {"namespace": "ns", "name": "se"}, "data": {"key": "c2VjcmV0"}});
    objects.put_secret(serde_json::from_value(secret).unwrap());
    objects
}

fn resolve(container: Value, links: bool) -> Result<Vec<String>, EnvError> {
    let mut container = container;
    container["name"] = json!("c");
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "labels": {"app": "web"}},
        "spec": {"enableServiceLinks": links, "serviceAccountName": "sa", "containers": [container]},
    }))
    .unwrap();
    let facts = PodFacts {
        node_name: "n1".to_owned(),
        host_ips: vec!["192.0.2.1".parse().unwrap()],
        pod_ips: vec!["10.42.0.5".parse().unwrap()],
        node_cpu_milli: 2000,
        node_memory_bytes: 1 << 30,
    };
    let variables = environment(&Sources {
        pod: &pod,
        container: &pod.spec.as_ref().unwrap().containers[0],
        facts: &facts,
        objects: &objects(),
        services: &[service(
            "ns",
            "my-db",
            &[("sql", Protocol::Tcp, 5432), ("", Protocol::Udp, 53)],
        )],
        default_services: &[
            service("default", "kubernetes", &[("https", Protocol::Tcp, 443)]),
            service("default", "other", &[("", Protocol::Tcp, 1)]),
        ],
    })?;
    Ok(variables
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect())
}

/// Only the variables that are not about services.
fn own(container: Value) -> Result<Vec<String>, EnvError> {
    let mut variables = resolve(container, false)?;
    variables.retain(|variable| !variable.starts_with("KUBERNETES_"));
    Ok(variables)
}

#[test]
fn values_come_from_where_they_are_said_to() {
    let from = |source: Value| json!({"env": [{"name": "X", "valueFrom": source}]});
    let field = |path: &str| from(json!({"fieldRef": {"fieldPath": path}}));
    let resource = |resource: &str, divisor: &str| {
        let mut container = from(json!({"resourceFieldRef": {"resource": resource, "divisor": divisor}}));
        container["resources"] = json!({"limits": {"cpu": "1500m"}, "requests": {"memory": "3Mi"}});
        container
    };
    for (container, expected) in [
        (json!({"env": [{"name": "X", "value": "v"}]}), "X=v"),
        (json!({"env": [{"name": "X"}]}), "X="),
        (field("metadata.name"), "X=p"),
        (field("metadata.labels['app']"), "X=web"),
        (field("metadata.annotations['none']"), "X="),
        (field("spec.nodeName"), "X=n1"),
        (field("status.podIP"), "X=10.42.0.5"),
        (field("status.hostIP"), "X=192.0.2.1"),
        (resource("limits.cpu", "1"), "X=2"),
        (resource("limits.cpu", "1m"), "X=1500"),
        (resource("requests.memory", "1Mi"), "X=3"),
        (resource("limits.memory", ""), "X=1073741824"),
        (from(json!({"configMapKeyRef": {"name": "cm", "key": "a"}})), "X=1"),
        (from(json!({"secretKeyRef": {"name": "se", "key": "key"}})), "X=secret"),
    ] {
        let row = container.to_string();
        assert_eq!(own(container), Ok(vec![expected.to_owned()]), "{row}");
    }
}

#[test]
fn what_is_missing_is_an_error_unless_optional() {
    let from = |source: Value| json!({"env": [{"name": "X", "valueFrom": source}]});
    for (container, message) in [
        (
            from(json!({"configMapKeyRef": {"name": "none", "key": "a"}})),
            "configmap \"none\" not found",
        ),
        (
            from(json!({"secretKeyRef": {"name": "none", "key": "a"}})),
            "secret \"none\" not found",
        ),
        (
            from(json!({"configMapKeyRef": {"name": "cm", "key": "z"}})),
            "couldn't find key z in ConfigMap ns/cm",
        ),
        (
            from(json!({"secretKeyRef": {"name": "se", "key": "z"}})),
            "couldn't find key z in Secret ns/se",
        ),
        (
            json!({"envFrom": [{"configMapRef": {"name": "none"}}]}),
            "configmap \"none\" not found",
        ),
        (
            from(json!({"fieldRef": {"fieldPath": "spec.none"}})),
            "unsupported fieldPath: spec.none",
        ),
    ] {
        assert_eq!(own(container).unwrap_err().to_string(), message);
    }
    for source in ["configMapKeyRef", "secretKeyRef"] {
        for (name, key) in [("none", "a"), ("cm", "z")] {
            let reference = json!({"name": name, "key": key, "optional": true});
            assert_eq!(own(from(json!({source: reference}))), Ok(vec![]), "{source} {name}");
        }
    }
}

#[test]
fn later_variables_win_and_see_the_earlier() {
    let container = json!({
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "cm"}}, {"secretRef": {"name": "se"}}],
        "env": [
            {"name": "P_a", "value": "own"},
            {"name": "Y", "value": "$(P_a)-$(P_b)-$(none)-$$(P_a)-$(KUBERNETES_SERVICE_HOST)"},
            {"name": "key", "value": "x$(key)"},
        ],
    });
    assert_eq!(
        own(container).unwrap(),
        ["P_a=own", "P_b=2", "key=xsecret", "Y=own-2-$(none)-$(P_a)-10.43.0.1"]
    );
}

#[test]
fn services_are_named_in_the_environment() {
    let without = resolve(json!({}), false).unwrap();
    assert!(without.contains(&"KUBERNETES_SERVICE_HOST=10.43.0.1".to_owned()));
    assert!(without.contains(&"KUBERNETES_SERVICE_PORT_HTTPS=443".to_owned()));
    assert!(without.contains(&"KUBERNETES_PORT_443_TCP_ADDR=10.43.0.1".to_owned()));
    assert!(
        !without
            .iter()
            .any(|variable| variable.starts_with("MY_DB") || variable.starts_with("OTHER"))
    );
    let with = resolve(json!({"env": [{"name": "MY_DB_SERVICE_HOST", "value": "mine"}]}), true).unwrap();
    for variable in [
        "MY_DB_SERVICE_HOST=mine",
        "MY_DB_SERVICE_PORT=5432",
        "MY_DB_SERVICE_PORT_SQL=5432",
        "MY_DB_PORT=tcp://10.43.0.1:5432",
        "MY_DB_PORT_5432_TCP=tcp://10.43.0.1:5432",
        "MY_DB_PORT_5432_TCP_PROTO=tcp",
        "MY_DB_PORT_53_UDP_PORT=53",
    ] {
        assert!(with.contains(&variable.to_owned()), "{variable}");
    }
    assert!(!with.iter().any(|variable| variable.starts_with("OTHER")));
}

#[test]
fn references_are_expanded_and_escaped() {
    let lookup = |name: &str| (name == "A").then(|| "1".to_owned());
    for (text, expanded) in [
        ("plain", "plain"),
        ("$(A)$(A)", "11"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(B)", "$(B)"),
        ("$A $(A", "$A $(A"),
        ("$", "$"),
    ] {
        assert_eq!(expand(text, lookup), expanded, "{text}");
    }
}
