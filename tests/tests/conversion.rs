//! A custom kind whose versions a webhook behind a service converts, with real kubectl.

#![allow(missing_docs, reason = "a test program")]

use serde_json::{Value, json};
use tests::{
    Sandbox,
    clients::{Client, Said},
    neighbour::Neighbour,
    sandbox::SOON,
    wait_for,
};

const NAME: &str = "boxes.stable.example.com";
const V1: &str = "boxes.v1.stable.example.com";
const V2: &str = "boxes.v2.stable.example.com";
const PORT: u16 = 18444;
const PROGRAM: &str = include_str!("conversion/webhook.py");

/// The service that leads to it, and the definition, which stores this version.
fn objects(webhook: &Neighbour, storage: &str) -> Vec<Value> {
    let version = |name: &str, fields: &[&str]| {
        let fields: serde_json::Map<String, Value> = fields
            .iter()
            .map(|field| ((*field).to_owned(), json!({ "type": "string" })))
            .collect();
        json!({
            "name": name, "served": true, "storage": name == storage,
            "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                "spec": { "type": "object", "properties": fields },
            } } },
            "additionalPrinterColumns": [{
                "name": "Where", "type": "string",
                "jsonPath": if name == "v1" { ".spec.hostPort" } else { ".spec.host" },
            }],
        })
    };
    vec![
        webhook.service("default", "convert"),
        webhook.endpoints("default", "convert"),
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": NAME },
            "spec": {
                "group": "stable.example.com", "scope": "Namespaced",
                "names": { "plural": "boxes", "singular": "box", "kind": "Box" },
                "versions": [version("v1", &["hostPort"]), version("v2", &["host", "port"])],
                "conversion": { "strategy": "Webhook", "webhook": {
                    "conversionReviewVersions": ["v1", "v1beta1"],
                    "clientConfig": {
                        "service": { "namespace": "default", "name": "convert", "path": "/convert" },
                        "caBundle": webhook.ca_bundle(),
                    },
                } },
            },
        }),
    ]
}

fn run(sandbox: &Sandbox, words: &[&str]) -> Said {
    Client::Kubectl.run(&sandbox.kubeconfig(), words, "")
}

fn apply(sandbox: &Sandbox, objects: &[Value]) -> Said {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    Client::Kubectl.run(&sandbox.kubeconfig(), &["apply", "-f", "-"], &list.to_string())
}

/// Names and specs of all boxes, as a version shows them.
fn specs(sandbox: &Sandbox, resource: &str) -> Vec<(String, Value)> {
    let said = run(sandbox, &["get", resource, "-o", "json"]).succeeded("get");
    let list: Value = serde_json::from_str(&said).expect("JSON");
    let items = list["items"].as_array().expect("a list").iter();
    items
        .map(|item| {
            let name = item["metadata"]["name"].as_str().expect("a name").to_owned();
            (name, item["spec"].clone())
        })
        .collect()
}

#[test]
fn boxes_are_what_they_are_in_every_version() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    let mut webhook = Neighbour::new(&sandbox, "convert.default.svc", PORT, PROGRAM, &[]);
    webhook.start();
    let _ = apply(&sandbox, &objects(&webhook, "v1")).succeeded("apply");
    wait_for("the kind to be served", SOON, || {
        run(&sandbox, &["get", V2]).success.then_some(())
    });
    let first = json!({
        "apiVersion": "stable.example.com/v1", "kind": "Box", "metadata": { "name": "first" },
        "spec": { "hostPort": "here:80" },
    });
    let mut second = json!({
        "apiVersion": "stable.example.com/v2", "kind": "Box", "metadata": { "name": "second" },
        "spec": { "host": "there", "port": "81" },
    });
    let _ = apply(&sandbox, &[first, second.clone()]).succeeded("apply");

    // What is there is of both versions, and what comes of another.
    let _ = apply(&sandbox, &objects(&webhook, "v2")).succeeded("store the second version");
    wait_for("the other version to be the one to store", SOON, || {
        let definition = sandbox.get(&["crd", NAME])?;
        (definition["status"]["storedVersions"] == json!(["v1", "v2"])).then_some(())
    });
    let third = json!({
        "apiVersion": "stable.example.com/v1", "kind": "Box", "metadata": { "name": "third" },
        "spec": { "hostPort": "far:82" },
    });
    let _ = apply(&sandbox, &[third]).succeeded("apply");
    let expected = |specs: [Value; 3]| -> Vec<(String, Value)> {
        let names = ["first", "second", "third"].map(str::to_owned);
        names.into_iter().zip(specs).collect()
    };
    let as_v1 = ["here:80", "there:81", "far:82"].map(|text| json!({ "hostPort": text }));
    assert_eq!(specs(&sandbox, V1), expected(as_v1));
    let as_v2 = [("here", "80"), ("there", "81"), ("far", "82")];
    let as_v2 = as_v2.map(|(host, port)| json!({ "host": host, "port": port }));
    assert_eq!(specs(&sandbox, V2), expected(as_v2));
    let table = run(&sandbox, &["get", V1]).succeeded("a table");
    assert!(table.contains("WHERE") && table.contains("there:81"), "{table}");

    second["spec"]["port"] = json!("8081");
    let said = apply(&sandbox, &[second.clone()]).succeeded("apply again");
    assert!(said.contains("second configured"), "{said}");
    let said = apply(&sandbox, &[second]).succeeded("apply once more");
    assert!(said.contains("second unchanged"), "{said}");
    let merge = r#"{"spec":{"hostPort":"near:1"}}"#;
    let patched = run(&sandbox, &["patch", V1, "first", "--type=merge", "-p", merge]);
    let _ = patched.succeeded("patch");
    let shown = sandbox.get(&[V2, "first"]).expect("it is there");
    assert_eq!(shown["spec"], json!({ "host": "near", "port": "1" }));
    let watch = "/apis/stable.example.com/v1/namespaces/default/boxes?watch=true&timeoutSeconds=1";
    let said = run(&sandbox, &["get", "--raw", watch]).succeeded("watch");
    for host_port in ["near:1", "there:8081", "far:82"] {
        assert!(said.contains(host_port), "{said}");
    }

    webhook.stop();
    let said = run(&sandbox, &["get", V1, "third"]);
    let refusal = "Error from server: conversion webhook for stable.example.com/v2, Kind=Box failed: Post \
                   \"https://convert.default.svc:443/convert?timeout=30s\": ";
    assert!(!said.success && said.err.contains(refusal), "{said:?}");
    let said = run(&sandbox, &["get", V2, "third"]).succeeded("it is stored so");
    assert!(said.contains("far"), "{said}");
    webhook.start();
    wait_for("the webhook to answer again", SOON, || {
        run(&sandbox, &["get", V1, "third"]).success.then_some(())
    });
    let _ = run(&sandbox, &["delete", "crd", NAME]).succeeded("delete the kind");
    let said = run(&sandbox, &["get", V1]);
    assert!(!said.success, "{said:?}");
}
