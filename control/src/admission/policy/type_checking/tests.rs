use api::resource::Kinds;
use serde_json::{Value, json};

use super::status;

fn policy(rules: Value, validation: Value) -> Value {
    json!({
        "metadata": { "name": "p", "generation": 2 },
        "spec": {
            "paramKind": { "apiVersion": "v1", "kind": "ConfigMap" },
            "matchConstraints": { "resourceRules": [rules] },
            "variables": [{ "name": "replicas", "expression": "object.spec.replicas" }],
            "validations": [{ "expression": "true" }, validation],
        },
    })
}

fn rule(resources: &[&str]) -> Value {
    json!({ "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["*"], "resources": resources })
}

fn told(policy: &Value) -> Value {
    let mut status = status(policy, &Kinds::builtin()).unwrap();
    assert_eq!(status["observedGeneration"], 2);
    status["typeChecking"].take()
}

#[test]
fn each_expression_is_checked_against_each_kind_that_is_named() {
    let wrong = json!({ "expression": "object.replicas > 1", "messageExpression": "'has ' + object.spec.replicas" });
    let deployments = "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > \
                       1\n | ......^";
    assert_eq!(
        told(&policy(rule(&["replicasets", "deployments"]), wrong.clone())),
        json!({ "expressionWarnings": [
            {
                "fieldRef": "spec.validations[1].expression",
                "warning": format!("{deployments}\n{}", deployments.replace("Deployment", "ReplicaSet")),
            },
            {
                "fieldRef": "spec.validations[1].messageExpression",
                "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:8: found no matching overload for '_+_' applied \
                            to '(string, int)'\n | 'has ' + object.spec.replicas\n | .......^\napps/v1, \
                            Kind=ReplicaSet: ERROR: <input>:1:8: found no matching overload for '_+_' applied to \
                            '(string, int)'\n | 'has ' + object.spec.replicas\n | .......^",
            },
        ] })
    );
    for rules in [
        rule(&["*"]),
        rule(&["deployments/scale"]),
        rule(&["unknown"]),
        json!({ "apiGroups": ["*"], "apiVersions": ["v1"], "resources": ["deployments"] }),
    ] {
        assert_eq!(told(&policy(rules.clone(), wrong.clone())), json!({}), "{rules}");
    }
}

#[test]
fn parameters_variables_and_namespaces_have_types() {
    for (expression, is_well) in [
        ("variables.replicas > 1 && params.data['a'] == 'b'", true),
        ("variables.other > 1", false),
        ("params.spec == 1", false),
        ("namespaceObject.metadata.name == request.namespace", true),
        ("namespaceObject.metadata.names == ''", false),
        (
            "oldObject == null || oldObject.spec.replicas <= object.spec.replicas",
            true,
        ),
    ] {
        let told = told(&policy(rule(&["deployments"]), json!({ "expression": expression })));
        assert_eq!(told == json!({}), is_well, "{expression}: {told}");
    }
}

#[test]
fn what_was_looked_at_is_not_looked_at_again() {
    let mut policy = policy(rule(&["deployments"]), json!({ "expression": "object.nothing" }));
    policy["status"] = json!({ "observedGeneration": 2 });
    assert_eq!(status(&policy, &Kinds::builtin()), None);
    policy["status"]["observedGeneration"] = json!(1);
    assert!(status(&policy, &Kinds::builtin()).is_some());
}
