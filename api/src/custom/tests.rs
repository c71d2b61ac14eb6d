//! Objects of custom kinds through their schema.

use serde_json::{Value, json};

use super::rows;
use crate::{
    defaulting,
    resource::Resource,
    schema, table,
    validation::{validate_create, validate_update},
};

/// A definition of widgets with this schema of `spec`.
fn definition(spec: &Value) -> Value {
    json!({
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": { "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList" },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": spec } } },
                "subresources": {
                    "status": {},
                    "scale": { "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas" },
                },
                "additionalPrinterColumns": [
                    { "name": "Size", "type": "integer", "jsonPath": ".spec.size" },
                    { "name": "Ready", "type": "string",
                      "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status" },
                ],
                "selectableFields": [{ "jsonPath": ".spec.color" }],
            }],
        },
        "status": {
            "acceptedNames": {
                "plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList",
                "shortNames": ["wd"],
            },
        },
    })
}

fn row(spec: &Value) -> &'static Resource {
    rows(&definition(spec)).unwrap()[0]
}

fn widget(spec: Value) -> Value {
    json!({
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": { "name": "a", "namespace": "default" },
        "spec": spec,
    })
}

fn faults(spec: &Value, object: Value) -> Vec<String> {
    let errors = validate_create(row(spec), &widget(object));
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn equal_versions_share_a_row() {
    let spec = json!({ "type": "object" });
    assert!(std::ptr::eq(row(&spec), row(&spec)));
    assert!(!std::ptr::eq(
        row(&spec),
        row(&json!({ "type": "object", "description": "other" }))
    ));
    let row = row(&spec);
    assert_eq!(
        (row.group, row.version, row.plural, row.kind),
        ("example.com", "v1", "widgets", "Widget")
    );
    assert_eq!(row.short_names, ["wd"]);
    assert_eq!(row.selectable_fields, ["spec.color"]);
    assert!(row.has_status() && row.subresource("scale").is_some());
}

#[test]
fn unknown_fields_are_named_and_dropped_and_kept_where_the_schema_says() {
    let spec = json!({
        "type": "object",
        "properties": {
            "a": { "type": "string" },
            "list": { "type": "array", "items": { "type": "object", "properties": { "b": { "type": "string" } } } },
            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            "map": { "type": "object", "additionalProperties": { "type": "string" } },
        },
    });
    let mut object = widget(json!({
        "a": "x", "c": 1, "list": [{ "b": "x", "d": 1 }], "free": { "e": 1 }, "map": { "f": "x" },
    }));
    object["metadata"]["bogus"] = json!(1);
    assert_eq!(
        schema::check_fields(row(&spec), &object),
        [
            "unknown field \"metadata.bogus\"",
            "unknown field \"spec.c\"",
            "unknown field \"spec.list[0].d\""
        ]
    );
    schema::prune(row(&spec), &mut object);
    assert_eq!(
        object["spec"],
        json!({ "a": "x", "list": [{ "b": "x" }], "free": { "e": 1 }, "map": { "f": "x" } })
    );
}

#[test]
fn defaults_fill_what_is_absent_or_a_null_that_may_not_be() {
    let spec = json!({
        "type": "object",
        "properties": {
            "a": { "type": "string", "default": "x" },
            "b": { "type": "string", "default": "y", "nullable": true },
            "c": { "type": "string" },
            "inner": { "type": "object", "default": {}, "properties": { "d": { "type": "integer", "default": 1 } } },
        },
    });
    let mut object = widget(json!({ "a": null, "b": null, "c": null }));
    defaulting::apply(row(&spec), &mut object);
    assert_eq!(object["spec"], json!({ "a": "x", "b": null, "inner": { "d": 1 } }));
    let once = object.clone();
    defaulting::apply(row(&spec), &mut object);
    assert_eq!(object, once);
}

#[test]
fn values_are_refused_in_the_words_of_kubernetes() {
    let cases = [
        (
            json!({ "type": "integer" }),
            json!("x"),
            "spec.a: Invalid value: \"string\": spec.a in body must be of type integer: \"string\"",
        ),
        (json!({ "type": "string" }), json!(null), ""),
        (
            json!({ "type": "string", "enum": ["b", "a"] }),
            json!("c"),
            "spec.a: Unsupported value: \"c\": supported values: \"b\", \"a\"",
        ),
        (
            json!({ "type": "integer", "minimum": 3 }),
            json!(2),
            "spec.a: Invalid value: 2: spec.a in body should be greater than or equal to 3",
        ),
        (
            json!({ "type": "integer", "maximum": 3, "exclusiveMaximum": true }),
            json!(3),
            "spec.a: Invalid value: 3: spec.a in body should be less than 3",
        ),
        (
            json!({ "type": "string", "pattern": "^a+$" }),
            json!("b"),
            "spec.a: Invalid value: \"b\": spec.a in body should match '^a+$'",
        ),
        (
            json!({ "type": "string", "minLength": 2 }),
            json!("b"),
            "spec.a: Invalid value: \"b\": spec.a in body should be at least 2 chars long",
        ),
        (
            json!({ "type": "string", "maxLength": 1 }),
            json!("bb"),
            "spec.a: Too long: may not be more than 1 bytes",
        ),
        (
            json!({ "type": "string", "format": "date-time" }),
            json!("b"),
            "spec.a: Invalid value: \"b\": spec.a in body must be of type date-time: \"b\"",
        ),
        (
            json!({ "type": "array", "maxItems": 1, "items": { "type": "string" } }),
            json!(["a", "b"]),
            "spec.a: Too many: 2: must have at most 1 item",
        ),
        (
            json!({ "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string" } }),
            json!(["a", "a"]),
            "spec.a[1]: Duplicate value: \"a\"",
        ),
        (
            json!({ "x-kubernetes-int-or-string": true }),
            json!(true),
            "spec.a: Invalid value: \"boolean\": spec.a in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({ "type": "object", "required": ["b"], "properties": { "b": { "type": "string" } } }),
            json!({}),
            "spec.a.b: Required value",
        ),
        (
            json!({ "type": "integer", "anyOf": [{ "minimum": 5 }, { "maximum": 1 }] }),
            json!(3),
            "<nil>: Invalid value: \"\": \"spec.a\" must validate at least one schema (anyOf)",
        ),
        (
            json!({ "type": "integer", "oneOf": [{ "minimum": 1 }, { "maximum": 9 }] }),
            json!(3),
            "<nil>: Invalid value: \"\": \"spec.a\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ),
        (
            json!({ "type": "integer", "not": { "minimum": 1 } }),
            json!(3),
            "<nil>: Invalid value: \"\": \"spec.a\" must not validate the schema (not)",
        ),
    ];
    for (schema, value, expected) in cases {
        let spec = json!({ "type": "object", "properties": { "a": schema } });
        let mut object = widget(json!({ "a": value }));
        defaulting::apply(row(&spec), &mut object);
        let found = faults(&spec, object["spec"].clone()).join("; ");
        assert_eq!(found, expected, "{spec} {value}");
    }
}

#[test]
fn rules_compare_values_and_what_they_were() {
    let spec = json!({
        "type": "object",
        "properties": {
            "replicas": { "type": "integer" },
            "max": { "type": "integer" },
            "name": {
                "type": "string",
                "x-kubernetes-validations": [{ "rule": "self == oldSelf", "message": "Value is immutable" }],
            },
        },
        "x-kubernetes-validations": [
            { "rule": "self.replicas <= self.max", "fieldPath": ".replicas",
              "messageExpression": "'at most ' + string(self.max)" },
            { "rule": "!has(self.name) || self.name.startsWith('w')", "reason": "FieldValueForbidden" },
        ],
    });
    assert_eq!(faults(&spec, json!({ "replicas": 1, "max": 2, "name": "w" })), [""; 0]);
    assert_eq!(
        faults(&spec, json!({ "replicas": 3, "max": 2, "name": "x" })),
        [
            "spec.replicas: Invalid value: \"object\": at most 2",
            "spec: Forbidden: failed rule: !has(self.name) || self.name.startsWith('w')",
        ]
    );
    let (old, new) = (
        widget(json!({ "replicas": 1, "max": 2, "name": "w1" })),
        widget(json!({ "replicas": 1, "max": 2, "name": "w2" })),
    );
    let mut stamped = (old, new);
    for object in [&mut stamped.0, &mut stamped.1] {
        object["metadata"]["resourceVersion"] = json!("1");
    }
    let errors = validate_update(row(&spec), &stamped.1, &stamped.0);
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["spec.name: Invalid value: \"string\": Value is immutable"]);
}

#[test]
fn rules_that_ask_for_too_much_work_are_refused() {
    let spec = json!({
        "type": "object",
        "properties": { "list": { "type": "array", "items": { "type": "integer" } } },
        "x-kubernetes-validations": [
            { "rule": "self.list.all(a, self.list.all(b, self.list.all(c, a + b + c > 0)))" },
        ],
    });
    let found = faults(&spec, json!({ "list": vec![1; 500] }));
    assert!(found[0].contains("running out of cost budget"), "{found:?}");
}

#[test]
fn tables_have_the_declared_columns() {
    let row = row(&json!({ "type": "object", "properties": { "size": { "type": "integer" } } }));
    let mut object = widget(json!({ "size": 3 }));
    object["status"] = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
    let table = table::render(row, &[object], jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(table["rows"][0]["cells"], json!(["a", 3, "True"]));
    assert_eq!(table["columnDefinitions"][1]["name"], "Size");
}
