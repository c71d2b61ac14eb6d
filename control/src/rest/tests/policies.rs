//! What is told of policies.

use super::*;
use crate::{definitions::Definitions, policy_status};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

async fn told(server: &Server, name: &str, resource: [&str; 2], expression: &str) -> Value {
    let rule = json!({
        "apiGroups": [resource[0]], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource[1]],
    });
    let body = json!({
        "metadata": { "name": name },
        "spec": {
            "matchConstraints": { "resourceRules": [rule] }, "validations": [{ "expression": expression }],
        },
    });
    let made = server.send("POST", POLICIES, &[], body.to_string()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.bytes);
    until(&format!("something is told of {name}"), async || {
        let mut policy = server.get(&format!("{POLICIES}/{name}")).await.json();
        (policy["status"]["observedGeneration"] == 1).then(|| policy["status"]["typeChecking"].take())
    })
    .await
}

#[tokio::test]
async fn the_types_of_a_policys_expressions_are_checked_by_the_schemas_of_all_kinds() {
    let server = server().await;
    let (definitions, changes) = Definitions::open(server.engine.clone()).unwrap();
    tokio::spawn(definitions.run(changes, server.shutdown.clone()));
    tokio::spawn(policy_status::run(server.engine.clone(), server.shutdown.clone()));
    let properties = json!({ "replicas": { "type": "integer" } });
    let definition = json!({
        "metadata": { "name": "gears.example.com" },
        "spec": {
            "group": "example.com", "scope": "Cluster", "names": { "plural": "gears", "kind": "Gear" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "spec": { "type": "object", "properties": properties },
                } } },
            }],
        },
    });
    let made = server.send("POST", DEFINITIONS, &[], definition.to_string()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.bytes);
    until("the kind is served", async || {
        (server.get("/apis/example.com/v1/gears").await.status == StatusCode::OK).then_some(())
    })
    .await;
    let gears = ["example.com", "gears"];
    let deployments = ["apps", "deployments"];
    let well = json!({});
    assert_eq!(told(&server, "a", deployments, "object.spec.replicas > 1").await, well);
    assert_eq!(told(&server, "b", gears, "object.spec.replicas > 1").await, well);
    let bad = told(
        &server,
        "c",
        gears,
        "object.spec.replicas > '1' || object.spec.teeth > 1",
    )
    .await;
    let warning = &bad["expressionWarnings"][0];
    assert_eq!(warning["fieldRef"], "spec.validations[0].expression");
    let warning = warning["warning"].as_str().unwrap();
    assert!(
        warning.starts_with("example.com/v1, Kind=Gear: ERROR: <input>:1:22: "),
        "{warning}"
    );
    for part in [
        "found no matching overload for '_>_' applied to '(int, string)'",
        "undefined field 'teeth'",
    ] {
        assert!(warning.contains(part), "{warning}");
    }
}
