use serde_json::json;

use super::*;

fn names() -> Names {
    let mut names = Names::default();
    names.set("object", &json!({ "spec": { "replicas": 7, "image": "x:1" } }));
    names.set("oldObject", &Value::Null);
    names.set("params", &json!({ "max": 5 }));
    names
}

fn said(spec: &Value) -> Vec<String> {
    let faults = Policy::parse("p", spec).faults(&mut names());
    faults
        .into_iter()
        .map(|fault| format!("{}: {}", fault.reason, fault.message))
        .collect()
}

#[test]
fn what_does_not_hold_is_said_as_the_policy_wants() {
    let line = |validation: Value| json!({ "validations": [validation] });
    let rows = [
        (line(json!({ "expression": "object.spec.replicas < 10" })), vec![]),
        (
            line(json!({ "expression": " object.spec.replicas < params.max " })),
            vec!["Invalid: failed expression: object.spec.replicas < params.max"],
        ),
        (
            line(json!({ "expression": "false", "message": "never", "reason": "Forbidden" })),
            vec!["Forbidden: never"],
        ),
        (
            line(json!({
                "expression": "false",
                "message": "never",
                "messageExpression": "'at most ' + string(params.max)",
            })),
            vec!["Invalid: at most 5"],
        ),
        (
            line(json!({ "expression": "false", "message": "never", "messageExpression": "object.spec.nothing" })),
            vec!["Invalid: never"],
        ),
        (
            line(json!({ "expression": "object.spec.nothing > 1" })),
            vec!["Invalid: expression 'object.spec.nothing > 1' resulted in error: no such key: nothing"],
        ),
        (
            json!({ "failurePolicy": "Ignore", "validations": [{ "expression": "object.spec.nothing > 1" }] }),
            vec![],
        ),
        (
            json!({ "validations": [{ "expression": "false", "message": "a" }, { "expression": "false", "message": "b" }] }),
            vec!["Invalid: a", "Invalid: b"],
        ),
        (
            json!({
                "matchConditions": [{ "name": "c", "expression": "object.spec.replicas > 100" }],
                "validations": [{ "expression": "false" }],
            }),
            vec![],
        ),
    ];
    for (spec, expected) in rows {
        assert_eq!(said(&spec), expected, "{spec}");
    }
}

#[test]
fn variables_build_on_each_other() {
    let spec = json!({
        "variables": [
            { "name": "limit", "expression": "params.max * 2" },
            { "name": "broken", "expression": "params.nothing" },
            { "name": "over", "expression": "object.spec.replicas > variables.limit" },
        ],
        "validations": [{ "expression": "!variables.over" }, { "expression": "variables.limit == 9", "message": "no" }],
    });
    assert_eq!(said(&spec), ["Invalid: no"]);
}

#[test]
fn a_policy_is_in_force_through_its_bindings() {
    let mut policies = Policies::default();
    let binding = json!({ "spec": { "policyName": "p", "validationActions": ["Deny", "Warn"] } });
    policies.fold(Part::Binding, "", "b", Some(&binding));
    assert!(policies.in_force().is_empty(), "there is no such policy");
    policies.fold(Part::Policy, "", "p", Some(&json!({ "spec": {} })));
    let found = policies.in_force();
    assert_eq!((found[0].0.name.as_str(), found[0].1.name.as_str()), ("p", "b"));
    assert!(found[0].1.denies() && found[0].1.warns());
    policies.fold(Part::Binding, "", "b", None);
    assert!(policies.in_force().is_empty());
}
