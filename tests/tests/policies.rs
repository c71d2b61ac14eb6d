//! Admission policies with real kubectl: what is wrong with one is told, and what it says is done all the same.

#![allow(missing_docs, reason = "a test program")]

use serde_json::json;
use tests::{Sandbox, clients::Client, sandbox::SOON, wait_for};

#[test]
fn a_policy_with_wrong_types_says_so_and_still_counts() {
    let Some(sandbox) = Sandbox::create(1) else { return };
    let rule = json!({
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"],
    });
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": "few" },
        "spec": {
            "matchConstraints": { "resourceRules": [rule] },
            "validations": [
                { "expression": "object.spec.replicas <= 3" },
                { "expression": "object.spec.replicas > '1'", "messageExpression": "'has ' + object.replicas" },
            ],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": "few" }, "spec": { "policyName": "few", "validationActions": ["Deny"] },
    });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [policy, binding] });
    let kubectl = |words: &[&str], input: &str| Client::Kubectl.run(&sandbox.kubeconfig(), words, input);
    let _ = kubectl(&["apply", "-f", "-"], &list.to_string()).succeeded("apply");
    let status = wait_for("the policy to be checked", SOON, || {
        let policy = sandbox.get(&["validatingadmissionpolicy", "few"])?;
        (policy["status"]["observedGeneration"] == policy["metadata"]["generation"]).then(|| policy["status"].clone())
    });
    let fault = |place: &str, what: &str, text: &str, dots: usize| {
        let dots = ".".repeat(dots);
        format!("apps/v1, Kind=Deployment: ERROR: <input>:1:{place}: {what}\n | {text}\n | {dots}^")
    };
    let overload = "found no matching overload for '_>_' applied to '(int, string)'";
    assert_eq!(
        status["typeChecking"]["expressionWarnings"],
        json!([
            {
                "fieldRef": "spec.validations[1].expression",
                "warning": fault("22", overload, "object.spec.replicas > '1'", 21),
            },
            {
                "fieldRef": "spec.validations[1].messageExpression",
                "warning": fault("16", "undefined field 'replicas'", "'has ' + object.replicas", 15),
            },
        ])
    );
    let many = ["create", "deployment", "many", "--image=web", "--replicas=4"];
    let said = kubectl(&many, "");
    let refusal = "ValidatingAdmissionPolicy 'few' with binding 'few' denied request: failed expression: \
                   object.spec.replicas <= 3";
    assert!(!said.success && said.err.contains(refusal), "{said:?}");
}
