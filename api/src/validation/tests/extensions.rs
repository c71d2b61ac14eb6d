//! Definitions of kinds, and what configures the API.

use serde_json::{Value, json};

use super::{check_rows, complete, update, with};

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";

fn widget(schema: Value) -> Value {
    let object = json!({
        "metadata": { "name": "widgets.example.com" },
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": { "plural": "widgets", "kind": "Widget" },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    });
    complete(GROUP, PLURAL, object)
}

#[test]
fn a_definition_names_its_kind_and_one_version_to_store() {
    let good = widget(json!({ "type": "object" }));
    assert_eq!(good["spec"]["names"]["singular"], "widget");
    assert_eq!(good["spec"]["names"]["listKind"], "WidgetList");
    assert_eq!(good["spec"]["conversion"], json!({ "strategy": "None" }));
    check_rows(
        GROUP,
        PLURAL,
        &good,
        &[
            (vec![], &[]),
            (
                vec![("/metadata/name", json!("gears.example.com"))],
                &["metadata.name: Invalid value: \"gears.example.com\": must be spec.names.plural+\".\"+spec.group"],
            ),
            (
                vec![("/spec/versions/0/storage", json!(false))],
                &["spec.versions: Invalid value"],
            ),
            (
                vec![("/spec/versions/0/schema", Value::Null)],
                &["spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"],
            ),
            (
                vec![("/spec/scope", json!("Galaxy"))],
                &["spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\""],
            ),
            (
                vec![("/spec/names/kind", json!("Widget!"))],
                &["spec.names.kind: Invalid value: \"Widget!\": may have mixed case, but should otherwise match"],
            ),
            (
                vec![(
                    "/spec/versions/0/subresources",
                    json!({ "scale": { "specReplicasPath": ".status.x", "statusReplicasPath": ".status.y" } }),
                )],
                &[
                    "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \".status.x\": should be a json path under .spec",
                ],
            ),
            (
                vec![(
                    "/spec/versions/0/additionalPrinterColumns",
                    json!([{ "name": "A", "type": "text", "jsonPath": "spec" }]),
                )],
                &[
                    "spec.versions[0].additionalPrinterColumns[0].type: Unsupported value: \"text\"",
                    "spec.versions[0].additionalPrinterColumns[0].jsonPath: Invalid value: \"spec\": must be a simple json path starting with .",
                ],
            ),
        ],
    );
}

#[test]
fn a_webhook_converts_only_where_it_is_asked_to_and_can_be_found() {
    const AT: &str = "spec.conversion";
    let webhook = |more: &Value| {
        let mut webhook = json!({
            "clientConfig": { "service": { "namespace": "n", "name": "s" } },
            "conversionReviewVersions": ["v1", "v1beta1"],
        });
        for (field, value) in more.as_object().unwrap() {
            webhook[field] = value.clone();
        }
        json!({ "strategy": "Webhook", "webhook": webhook })
    };
    let bundle = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCmNtVmhiR3g1Ci0tLS0tRU5EIENFUlRJRklDQVRFLS0tLS0K";
    let by_url = |url: &str, bundle: &str| webhook(&json!({ "clientConfig": { "url": url, "caBundle": bundle } }));
    let rows: [(Value, &[&str]); 13] = [
        (webhook(&json!({})), &[]),
        (by_url("https://example.com:8443/convert", ""), &[]),
        (
            json!({ "strategy": "Sometimes" }),
            &["strategy: Unsupported value: \"Sometimes\""],
        ),
        (
            json!({ "strategy": "None", "webhook": {} }),
            &["webhook: Forbidden: should not be set when strategy is not set to Webhook"],
        ),
        (
            json!({ "strategy": "Webhook" }),
            &[
                "webhook.clientConfig: Required value: required when strategy is set to Webhook",
                "webhook.conversionReviewVersions: Required value: must specify one of v1, v1beta1",
            ],
        ),
        (
            webhook(&json!({ "clientConfig": { "url": "https://a/b", "service": { "namespace": "n", "name": "s" } } })),
            &["webhook.clientConfig: Required value: exactly one of url or service is required"],
        ),
        (
            by_url("http://example.com/convert", ""),
            &["webhook.clientConfig.url: Invalid value: \"http://example.com/convert\": 'https' is the only allowed"],
        ),
        (
            webhook(&json!({ "clientConfig": { "service": { "name": "s" } } })),
            &["webhook.clientConfig.service.namespace: Required value"],
        ),
        (
            by_url("https://a/b", "bm8gY2VydGlmaWNhdGU="),
            &[
                "webhook.clientConfig.caBundle: Invalid value: \"bm8gY2VydGlmaWNhdGU=\": unable to load root certificates",
            ],
        ),
        (by_url("https://a/b", bundle), &[]),
        (
            webhook(&json!({ "conversionReviewVersions": [] })),
            &["webhook.conversionReviewVersions: Required value: must specify one of v1, v1beta1"],
        ),
        (
            webhook(&json!({ "conversionReviewVersions": ["v2"] })),
            &["webhook.conversionReviewVersions: Invalid value: [\"v2\"]: must include at least one of v1, v1beta1"],
        ),
        (
            webhook(&json!({ "conversionReviewVersions": ["v1", "v1"] })),
            &["webhook.conversionReviewVersions[1]: Invalid value: \"v1\": duplicate version"],
        ),
    ];
    let good = widget(json!({ "type": "object" }));
    for (conversion, expected) in rows {
        let expected: Vec<String> = expected.iter().map(|told| format!("{AT}.{told}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let definition = with(&good, &[("/spec/conversion", conversion)]);
        let faults = super::create(GROUP, PLURAL, &definition);
        super::assert_faults(&definition["spec"]["conversion"], &faults, &expected);
    }
}

#[test]
fn schemas_are_structural() {
    const AT: &str = "spec.versions[0].schema.openAPIV3Schema";
    let rows = [
        (json!({}), "type: Required value: must not be empty at the root"),
        (
            json!({ "type": "object", "properties": { "a": {} } }),
            "properties[a].type: Required value: must not be empty for specified object fields",
        ),
        (
            json!({ "type": "object", "properties": { "a": { "type": "array" } } }),
            "properties[a].items: Required value: must be specified",
        ),
        (
            json!({ "type": "object", "properties": { "a": { "type": "string", "default": 1 } } }),
            "properties[a].default: Invalid value: \"integer\"",
        ),
        (
            json!({ "type": "object", "properties": { "a": {
                "type": "integer", "anyOf": [{ "type": "integer" }] } } }),
            "properties[a].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            json!({ "type": "object", "oneOf": [{ "properties": { "b": { "minimum": 1 } } }] }),
            "properties[b]: Required value: because it is defined in",
        ),
        (
            json!({ "type": "object", "properties": { "metadata": {
                "type": "object", "properties": { "labels": { "type": "object" } } } } }),
            "properties[metadata]: Forbidden: must not specify anything other than name and generateName",
        ),
        (
            json!({ "type": "object", "properties": { "a": { "type": "array", "items": { "type": "object" },
                "x-kubernetes-list-type": "map" } } }),
            "properties[a].x-kubernetes-list-map-keys: Required value",
        ),
        (
            json!({ "type": "object", "x-kubernetes-validations": [{ "rule": "self.a ==" }] }),
            "x-kubernetes-validations[0].rule: Invalid value",
        ),
    ];
    for (schema, expected) in rows {
        let expected = format!("{AT}.{expected}");
        let found = super::create(GROUP, PLURAL, &widget(schema.clone()));
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{schema}\n  gives {found:?}\n  not   {expected}"
        );
    }
}

#[test]
fn the_scope_of_an_established_kind_and_stored_versions_stay() {
    let mut old = widget(json!({ "type": "object" }));
    old["status"] = json!({
        "conditions": [{ "type": "Established", "status": "True" }],
        "storedVersions": ["v1"],
    });
    let new = with(&old, &[("/spec/scope", json!("Cluster"))]);
    assert_eq!(
        update(GROUP, PLURAL, &new, &old),
        ["spec.scope: Invalid value: \"Cluster\": field is immutable"]
    );
    let new = with(&old, &[("/spec/versions/0/name", json!("v2"))]);
    assert_eq!(
        update(GROUP, PLURAL, &new, &old),
        ["status.storedVersions[0]: Invalid value: \"v1\": must appear in spec.versions"]
    );
}

#[test]
fn webhooks_say_what_they_do_and_where_they_are() {
    let good = complete(
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        json!({
            "metadata": { "name": "w" },
            "webhooks": [{
                "name": "a.example.com",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "clientConfig": { "url": "https://hooks.example.com/a" },
            }],
        }),
    );
    assert_eq!(good["webhooks"][0]["timeoutSeconds"], 10);
    check_rows(
        "admissionregistration.k8s.io",
        "validatingwebhookconfigurations",
        &good,
        &[
            (vec![], &[]),
            (
                vec![("/webhooks/0/name", json!("a.example"))],
                &["webhooks[0].name: Invalid value: \"a.example\": should be a domain with at least three segments"],
            ),
            (
                vec![("/webhooks/0/timeoutSeconds", json!(31))],
                &["webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
            ),
            (
                vec![("/webhooks/0/clientConfig/url", json!("http://a"))],
                &["webhooks[0].clientConfig.url: Invalid value: \"http://a\": 'https' is the only allowed URL scheme"],
            ),
            (
                vec![("/webhooks/0/sideEffects", Value::Null)],
                &["webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"],
            ),
        ],
    );
}
