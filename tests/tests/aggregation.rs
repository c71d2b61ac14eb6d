//! Another API server beside ours, with real kubectl: found, asked in the caller's name, and told when it is away.

#![allow(missing_docs, reason = "a test program")]

use serde_json::{Value, json};
use tests::{
    Sandbox,
    clients::{Client, Said},
    neighbour::Neighbour,
    sandbox::SOON,
    wait_for,
};

const VERSION: &str = "v1.shop.example.com";
const PORT: u16 = 18443;
const PROGRAM: &str = include_str!("aggregation/server.py");

/// The other server, which is told the authority that our requests come from.
fn other(sandbox: &Sandbox) -> Neighbour {
    let config = [
        "-n",
        "kube-system",
        "get",
        "configmap",
        "extension-apiserver-authentication",
    ];
    let config = run(sandbox, &[&config[..], &["-o", "json"]].concat()).succeeded("get");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    let authority = config["data"]["requestheader-client-ca-file"]
        .as_str()
        .expect("an authority");
    Neighbour::new(sandbox, "api.shop.svc", PORT, PROGRAM, &[("proxy-ca.crt", authority)])
}

/// The service that leads to it, and the APIService.
fn objects(other: &Neighbour) -> Vec<Value> {
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } }),
        other.service("shop", "api"),
        other.endpoints("shop", "api"),
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": { "name": VERSION },
            "spec": {
                "group": "shop.example.com", "version": "v1", "groupPriorityMinimum": 2000, "versionPriority": 15,
                "service": { "namespace": "shop", "name": "api" },
                "caBundle": other.ca_bundle(),
            },
        }),
    ]
}

fn run(sandbox: &Sandbox, words: &[&str]) -> Said {
    Client::Kubectl.run(&sandbox.kubeconfig(), words, "")
}

fn condition(sandbox: &Sandbox) -> Value {
    let service = sandbox.get(&["apiservice", VERSION]).expect("it is there");
    service["status"]["conditions"][0].clone()
}

fn wait_until(sandbox: &Sandbox, status: &str, reason: &str) {
    wait_for(&format!("the server to be {reason}"), SOON, || {
        let condition = condition(sandbox);
        (condition["status"] == status && condition["reason"] == reason).then_some(())
    });
}

#[test]
fn another_api_server_serves_its_kinds_in_ours() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    let mut other = other(&sandbox);
    let apply = |objects: &[Value]| {
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        let said = Client::Kubectl.run(&sandbox.kubeconfig(), &["apply", "-f", "-"], &list.to_string());
        let _ = said.succeeded("apply");
    };
    let objects = objects(&other);

    // Piece by piece: what is missing is told.
    apply(&objects[3..]);
    wait_until(&sandbox, "False", "ServiceNotFound");
    apply(&objects[..2]);
    wait_until(&sandbox, "False", "EndpointsNotFound");
    apply(&objects[2..3]);
    wait_until(&sandbox, "False", "FailedDiscoveryCheck");
    let said = run(&sandbox, &["get", "--raw", "/apis/shop.example.com/v1"]);
    assert!(!said.success && said.err.contains("service unavailable"), "{said:?}");
    other.start();
    wait_until(&sandbox, "True", "Passed");

    let said = run(&sandbox, &["api-resources", "--api-group=shop.example.com"]).succeeded("api-resources");
    assert!(said.contains("orders") && said.contains("Order"), "{said}");
    let said = run(&sandbox, &["get", "--raw", "/apis/shop.example.com"]).succeeded("the group");
    assert!(said.contains("shop.example.com/v1"), "{said}");

    // The caller is who it is with us, and its credentials stay here.
    let order = sandbox.get(&["orders.shop.example.com", "one"]).expect("an order");
    assert_eq!(order["caller"]["user"], "kubernetes-admin");
    assert_eq!(order["caller"]["authorization"], Value::Null);
    let as_jane = ["--as=jane", "--as-group=shoppers", "get", "orders", "one", "-o", "json"];
    let said = run(&sandbox, &as_jane);
    assert!(
        !said.success && said.err.contains("forbidden"),
        "our own rules come first: {said:?}"
    );
    let grant = [
        "create",
        "clusterrole",
        "shop",
        "--verb=get",
        "--resource=orders.shop.example.com",
    ];
    let _ = run(&sandbox, &grant).succeeded("make a role");
    let bind = [
        "create",
        "clusterrolebinding",
        "shop",
        "--clusterrole=shop",
        "--group=shoppers",
    ];
    let _ = run(&sandbox, &bind).succeeded("bind it");
    let order: Value = serde_json::from_str(&run(&sandbox, &as_jane).succeeded("as jane")).expect("JSON");
    assert_eq!(order["caller"]["user"], "jane");
    let groups = order["caller"]["groups"].as_array().expect("groups");
    assert!(groups.contains(&json!("shoppers")), "{groups:?}");

    // Writes and watches go through, too.
    let new = json!({
        "apiVersion": "shop.example.com/v1", "kind": "Order", "metadata": { "name": "new", "namespace": "default" },
    });
    let create = ["create", "--validate=false", "-f", "-", "-o", "json"];
    let created = Client::Kubectl.run(&sandbox.kubeconfig(), &create, &new.to_string());
    let created: Value = serde_json::from_str(&created.succeeded("create")).expect("JSON");
    assert_eq!(created["metadata"]["name"], "new");
    let watch = "/apis/shop.example.com/v1/namespaces/default/orders?watch=true";
    let said = run(&sandbox, &["get", "--raw", watch]).succeeded("watch");
    assert!(said.contains("watched-0") && said.contains("watched-1"), "{said}");

    other.stop();
    // It is asked again at once when something about it changes.
    let _ = run(&sandbox, &["label", "-n", "shop", "service", "api", "look=again"]).succeeded("label");
    wait_until(&sandbox, "False", "FailedDiscoveryCheck");
    let said = run(&sandbox, &["get", "orders"]);
    assert!(!said.success, "{said:?}");
    let _ = run(&sandbox, &["delete", "apiservice", VERSION]).succeeded("delete");
    let said = run(&sandbox, &["get", "--raw", "/apis/shop.example.com/v1"]);
    assert!(
        !said.success && said.err.contains("could not find the requested resource"),
        "{said:?}"
    );
}
