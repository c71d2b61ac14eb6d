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
