use api::resource::by_path;
use serde_json::json;

use super::{
    super::review::{Attempt, Operation},
    *,
};
use crate::{auth::Caller, engine::WriteOptions};

/// Somebody does something with `default/web`.
fn attempt<'a>(
    caller: &'a Caller,
    operation: Operation,
    asked: &'a Resource,
    subresource: &'a str,
    options: &'a WriteOptions,
) -> Attempt<'a> {
    Attempt {
        subresource,
        ..Attempt::new(caller, operation, asked, "default", "web", options)
    }
}

fn about<'a>(attempt: &'a Attempt<'a>) -> Subject<'a> {
    Subject {
        attempt,
        object: None,
        in_namespace: None,
        access: None,
    }
}

fn rule(operation: &str, group: &str, version: &str, resource: &str) -> Value {
    json!({ "operations": [operation], "apiGroups": [group], "apiVersions": [version], "resources": [resource] })
}

#[test]
fn rules_say_what_is_meant() {
    /// Rule, operation, rows of the collection, subresource, version in whose form it is shown.
    type Row<'r> = (Value, Operation, &'r [&'r Resource], &'r str, Option<&'r str>);
    let (caller, options) = (Caller::anonymous(), WriteOptions::default());
    let pods = by_path("", "v1", "pods").unwrap();
    let old = by_path("autoscaling", "v1", "horizontalpodautoscalers").unwrap();
    let new = by_path("autoscaling", "v2", "horizontalpodautoscalers").unwrap();
    let autoscalers = rule("*", "autoscaling", "v2", "horizontalpodautoscalers");
    let (create, connect) = (Operation::Create, Operation::Connect);
    let rows: [Row<'_>; 12] = [
        (rule("CREATE", "", "v1", "pods"), create, &[pods], "", Some("v1")),
        (rule("*", "*", "*", "*"), create, &[pods], "", Some("v1")),
        (rule("*", "*", "*", "*"), create, &[pods], "status", None),
        (rule("*", "*", "*", "*/*"), create, &[pods], "status", Some("v1")),
        (rule("*", "*", "*", "pods/*"), create, &[pods], "", Some("v1")),
        (rule("*", "*", "*", "*/scale"), create, &[pods], "status", None),
        (
            rule("*", "", "v1", "pods/status"),
            create,
            &[pods],
            "status",
            Some("v1"),
        ),
        (rule("UPDATE", "", "v1", "pods"), create, &[pods], "", None),
        (rule("*", "apps", "v1", "pods"), create, &[pods], "", None),
        (rule("*", "", "v2", "pods"), create, &[pods], "", None),
        (autoscalers.clone(), create, &[old, new], "", Some("v2")),
        (
            rule("CONNECT", "", "v1", "pods/exec"),
            connect,
            &[pods],
            "exec",
            Some("v1"),
        ),
    ];
    for (rule, operation, found, subresource, expected) in rows {
        let scope = Scope::parse(&json!({ "rules": [rule] }));
        let row = scope.row(
            &about(&attempt(&caller, operation, found[0], subresource, &options)),
            found,
        );
        assert_eq!(
            row.map(|row| row.version),
            expected,
            "{rule} {operation:?} {subresource}"
        );
    }
    let exact = Scope::parse(&json!({ "rules": [autoscalers], "matchPolicy": "Exact" }));
    let asked = attempt(&caller, create, old, "", &options);
    assert!(exact.row(&about(&asked), &[old, new]).is_none());
}

#[test]
fn scopes_exclusions_and_names_narrow_rules() {
    let (caller, options) = (Caller::anonymous(), WriteOptions::default());
    let pods = by_path("", "v1", "pods").unwrap();
    let nodes = by_path("", "v1", "nodes").unwrap();
    let hooks = by_path("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations").unwrap();
    let all = rule("*", "*", "*", "*");
    let with = |field: &str, value: Value| {
        let mut rule = all.clone();
        rule[field] = value;
        json!({ "resourceRules": [rule] })
    };
    let rows = [
        (with("scope", json!("Cluster")), pods, false),
        (with("scope", json!("Namespaced")), pods, true),
        (with("scope", json!("Cluster")), nodes, true),
        (with("resourceNames", json!(["web"])), pods, true),
        (with("resourceNames", json!(["other"])), pods, false),
        (
            json!({ "resourceRules": [all], "excludeResourceRules": [all] }),
            pods,
            false,
        ),
        // Nobody is asked about those who are asked.
        (json!({ "rules": [all] }), hooks, false),
    ];
    for (scope, row, expected) in rows {
        let found = Scope::parse(&scope)
            .row(&about(&attempt(&caller, Operation::Create, row, "", &options)), &[row])
            .is_some();
        assert_eq!(found, expected, "{scope}");
    }
}

#[test]
fn selectors_look_at_namespaces_and_at_both_versions() {
    let (caller, options) = (Caller::anonymous(), WriteOptions::default());
    let pods = by_path("", "v1", "pods").unwrap();
    let namespaces = by_path("", "v1", "namespaces").unwrap();
    let nodes = by_path("", "v1", "nodes").unwrap();
    let all = json!([rule("*", "*", "*", "*")]);
    let wanted = json!({ "matchLabels": { "a": "b" } });
    let of_namespace = Scope::parse(&json!({ "rules": all, "namespaceSelector": wanted }));
    let of_object = Scope::parse(&json!({ "rules": all, "objectSelector": wanted }));
    let labelled = json!({ "metadata": { "labels": { "a": "b" } } });
    let plain = json!({ "metadata": {} });
    let rows = [
        (&of_namespace, pods, Some(&labelled), None, None, true),
        (&of_namespace, pods, Some(&plain), None, None, false),
        (&of_namespace, nodes, None, None, None, true),
        (&of_namespace, namespaces, None, Some(&labelled), None, true),
        (&of_namespace, namespaces, None, Some(&plain), None, false),
        (&of_object, pods, Some(&plain), Some(&labelled), Some(&plain), true),
        (&of_object, pods, Some(&plain), Some(&plain), Some(&labelled), true),
        (&of_object, pods, Some(&plain), Some(&plain), None, false),
    ];
    for (number, (scope, row, in_namespace, object, old, expected)) in rows.into_iter().enumerate() {
        let attempt = Attempt {
            old,
            ..attempt(&caller, Operation::Update, row, "", &options)
        };
        let subject = Subject {
            attempt: &attempt,
            object,
            in_namespace,
            access: None,
        };
        assert_eq!(scope.row(&subject, &[row]).is_some(), expected, "row {number}");
    }
}

#[test]
fn a_condition_that_does_not_hold_decides_before_one_that_fails() {
    let mut names = Names::default();
    names.set("object", &json!({ "spec": { "replicas": 3 } }));
    let (yes, no, fails) = (
        "object.spec.replicas == 3",
        "object.spec.replicas == 4",
        "object.spec.missing > 1",
    );
    let rows: [(&[&str], bool, bool); 6] = [
        (&[], true, false),
        (&[yes], true, false),
        (&[yes, no], false, false),
        (&[fails, no], false, false),
        (&[fails, yes], false, true),
        (&["1 +"], false, true),
    ];
    for (expressions, holds, fails) in rows {
        let condition = |expression: &&str| json!({ "name": "c", "expression": expression });
        let list: Vec<Value> = expressions.iter().map(condition).collect();
        let verdict = judge(&conditions(&Value::from(list)), &names);
        assert_eq!(verdict == Verdict::Holds, holds, "{expressions:?}: {verdict:?}");
        assert_eq!(
            matches!(verdict, Verdict::Fails(_)),
            fails,
            "{expressions:?}: {verdict:?}"
        );
    }
}
