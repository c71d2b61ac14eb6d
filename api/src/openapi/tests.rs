//! What clients look up in the documents.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{group_document, index, v2, v2_protobuf};

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
            "apis/authentication.k8s.io/v1",
            "apis/authorization.k8s.io/v1",
            "apis/coordination.k8s.io/v1",
            "apis/discovery.k8s.io/v1",
            "apis/rbac.authorization.k8s.io/v1",
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

/// The fields of a message, by number: lengths are followed, numbers are skipped.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                varint(&mut bytes);
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, bytes[..length].to_vec()));
        bytes = &bytes[length..];
    }
    found
}

fn one(message: &[u8], number: u64) -> Vec<u8> {
    let found = fields(message).into_iter().find(|(field, _)| *field == number);
    found.unwrap_or_else(|| panic!("no field {number}")).1
}

fn named(message: &[u8], list: u64, name: &str) -> Vec<u8> {
    let pairs = fields(message).into_iter().filter(|(field, _)| *field == list);
    let found = pairs.map(|(_, pair)| pair).find(|pair| one(pair, 1) == name.as_bytes());
    one(&found.unwrap_or_else(|| panic!("no {name}")), 2)
}

#[test]
fn the_older_document_as_protobuf_holds_paths_types_and_extensions() {
    let document = v2_protobuf();
    assert_eq!(one(&document, 1), b"2.0");
    assert_eq!(one(&one(&document, 2), 1), b"Kubernetes");

    let paths = one(&document, 8);
    let deployment = named(&paths, 2, "/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    let patch = one(&deployment, 8);
    let parameters: Vec<Vec<u8>> = fields(&patch)
        .into_iter()
        .filter(|(field, _)| *field == 8)
        .map(|(_, item)| one(&item, 1))
        .collect();
    let is_field_validation = |parameter: &Vec<u8>| {
        fields(parameter)
            .iter()
            .filter(|(field, _)| *field == 2)
            .any(|(_, other)| one(&one(other, 3), 4) == b"fieldValidation")
    };
    assert!(parameters.iter().any(is_field_validation));
    let kind = one(&named(&patch, 13, "x-kubernetes-group-version-kind"), 2);
    let kind: Value = serde_json::from_slice(&kind).unwrap();
    assert_eq!(kind["kind"], "Deployment");

    let definitions = one(&document, 9);
    let spec = named(&definitions, 1, "io.k8s.api.core.v1.PodSpec");
    let containers = named(&one(&spec, 25), 1, "containers");
    assert_eq!(one(&one(&containers, 22), 1), b"array");
    let item = one(&one(&containers, 23), 1);
    assert_eq!(one(&item, 1), b"#/definitions/io.k8s.api.core.v1.Container");
    assert_eq!(
        one(&named(&containers, 31, "x-kubernetes-patch-merge-key"), 2),
        b"\"name\""
    );
}
