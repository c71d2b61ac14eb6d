//! What clients look up in the documents.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{group_document, index, v2};

/// Every `$ref` in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => {
                        found.insert(target.clone());
                    }
                    _ => references(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_index_names_each_group_with_a_hash() {
    let index = index();
    let paths = index["paths"].as_object().unwrap();
    let names: Vec<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "api/v1",
            "apis/apps/v1",
            "apis/coordination.k8s.io/v1",
            "apis/discovery.k8s.io/v1"
        ]
    );
    for (path, entry) in paths {
        let url = entry["serverRelativeURL"].as_str().unwrap();
        let hash = url.strip_prefix(&format!("/openapi/v3/{path}?hash=")).unwrap();
        assert_eq!(hash.len(), 128, "{path}");
        assert!(group_document(path).is_some(), "{path}");
    }
    assert_eq!(group_document("apis/batch/v1"), None);
    assert_eq!(group_document(""), None);
}

#[test]
fn every_reference_leads_to_a_schema_and_nothing_of_ours_is_shown() {
    for path in index()["paths"].as_object().unwrap().keys() {
        let document = group_document(path).unwrap();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for target in found {
            let name = target.strip_prefix("#/components/schemas/").unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{path}: {target}");
        }
        assert!(!document.to_string().contains("x-skep"), "{path}");
    }
}

#[test]
fn operations_carry_their_kind_and_accept_field_validation() {
    let document = group_document("apis/apps/v1").unwrap();
    let item = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"];
    let patch = &item["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let names: Vec<&Value> = patch["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert!(names.contains(&&json!("fieldValidation")), "{names:?}");
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(item["parameters"][0]["name"], "name");
    let scale = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]["put"];
    assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Scale");
    let core = group_document("api/v1").unwrap();
    assert!(core["paths"]["/api/v1/nodes/{name}"]["get"].is_object());
    assert_eq!(core["paths"]["/api/v1/namespaces"]["delete"], Value::Null);
    assert!(core["paths"]["/api/v1/pods"]["get"].is_object());
}

#[test]
fn schemas_keep_kinds_and_patch_keys() {
    let document = group_document("apis/apps/v1").unwrap();
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "kind": "Deployment", "version": "v1"}])
    );
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    let spec = &schemas["io.k8s.api.apps.v1.Deployment"]["properties"]["spec"];
    assert_eq!(
        spec["allOf"],
        json!([{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"}])
    );
    assert!(spec["description"].is_string());
    assert!(schemas["io.k8s.api.core.v1.Node"].is_null(), "not of this group");
}

#[test]
fn the_older_format_has_definitions_and_body_parameters() {
    let document = v2();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for target in found {
        let name = target.strip_prefix("#/definitions/").unwrap();
        assert!(document["definitions"][name].is_object(), "{target}");
    }
    let create = &document["paths"]["/api/v1/namespaces/{namespace}/pods"]["post"];
    let body = create["parameters"].as_array().unwrap().last().unwrap();
    assert_eq!(body["schema"]["$ref"], "#/definitions/io.k8s.api.core.v1.Pod");
    assert_eq!(
        create["responses"]["200"]["schema"]["$ref"],
        "#/definitions/io.k8s.api.core.v1.Pod"
    );
}
