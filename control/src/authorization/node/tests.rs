use serde_json::json;

use super::*;

fn request(verb: &str, group: &str, path: &str, namespace: &str, name: &str) -> ResourceRequest {
    let (resource, subresource) = path.split_once('/').unwrap_or((path, ""));
    ResourceRequest {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        node: String::new(),
    }
}

#[test]
fn a_node_has_its_own_node_and_lease() {
    let coordination = "coordination.k8s.io";
    let rows = [
        (request("get", "", "nodes", "", "a"), "allowed"),
        (request("get", "", "nodes", "", "b"), "no"),
        (request("list", "", "nodes", "", ""), "no"),
        (request("create", "", "nodes", "", ""), "allowed"),
        (request("patch", "", "nodes/status", "", "a"), "allowed"),
        (request("patch", "", "nodes/status", "", "b"), "denied"),
        (request("delete", "", "nodes", "", "a"), "no"),
        (
            request("update", coordination, "leases", "kube-node-lease", "a"),
            "allowed",
        ),
        (request("update", coordination, "leases", "kube-node-lease", "b"), "no"),
        (request("update", coordination, "leases", "kube-system", "a"), "no"),
        (request("list", coordination, "leases", "kube-node-lease", "a"), "no"),
        (request("get", "", "secrets", "x", "s"), "if own"),
        (request("list", "", "secrets", "x", ""), "no"),
        (request("update", "", "secrets", "x", "s"), "no"),
        (request("get", "", "pods", "x", "p"), "if own"),
        (request("list", "", "pods", "", ""), "no"),
        (request("patch", "", "pods/status", "x", "p"), "if own"),
        (request("update", "", "pods", "x", "p"), "no"),
        (request("create", "", "serviceaccounts/token", "x", "sa"), "if own"),
        (request("list", "", "services", "", ""), "allowed"),
        (request("delete", "", "services", "x", "s"), "no"),
        (request("get", "apps", "deployments", "x", "d"), "no"),
    ];
    for (request, expected) in rows {
        let said = match judge("a", &request) {
            Judgement::IfOwn(_) => "if own",
            Judgement::Is(Verdict::Allowed) => "allowed",
            Judgement::Is(Verdict::No(_)) => "no",
            Judgement::Is(Verdict::Denied(_)) => "denied",
        };
        assert_eq!(said, expected, "{request:?}");
    }
    let own_pods = ResourceRequest {
        node: "a".to_owned(),
        ..request("list", "", "pods", "", "")
    };
    assert_eq!(judge("a", &own_pods), Judgement::Is(Verdict::Allowed));
}

#[test]
fn a_node_reads_what_its_pods_reference() {
    let pod = json!({
        "metadata": { "name": "p" },
        "spec": {
            "nodeName": "a",
            "serviceAccountName": "robot",
            "imagePullSecrets": [{ "name": "pull" }],
            "containers": [{
                "envFrom": [{ "configMapRef": { "name": "from" } }],
                "env": [{ "valueFrom": { "secretKeyRef": { "name": "key" } } }],
            }],
            "initContainers": [{ "envFrom": [{ "secretRef": { "name": "init" } }] }],
            "volumes": [
                { "configMap": { "name": "volume" } },
                { "secret": { "secretName": "mounted" } },
                { "projected": { "sources": [{ "secret": { "name": "projected" } }] } },
                { "persistentVolumeClaim": { "claimName": "claim" } },
            ],
        },
    });
    let own = |name: &str| name.to_owned();
    let rows = [
        (Reference::Pod(own("p")), true),
        (Reference::Pod(own("q")), false),
        (Reference::ServiceAccount(own("robot")), true),
        (Reference::ConfigMap(own("from")), true),
        (Reference::ConfigMap(own("volume")), true),
        (Reference::ConfigMap(own("key")), false),
        (Reference::Secret(own("pull")), true),
        (Reference::Secret(own("key")), true),
        (Reference::Secret(own("init")), true),
        (Reference::Secret(own("mounted")), true),
        (Reference::Secret(own("projected")), true),
        (Reference::Secret(own("from")), false),
        (Reference::Claim(own("claim")), true),
    ];
    for (reference, is_related) in rows {
        let verdict = related("a", &reference, [pod.clone()]);
        assert_eq!(verdict == Verdict::Allowed, is_related, "{reference:?}");
        let elsewhere = related("b", &reference, [pod.clone()]);
        assert_ne!(elsewhere, Verdict::Allowed, "{reference:?} on another node");
    }
}
