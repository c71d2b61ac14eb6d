//! OpenAPI documents of what is served, made from the schema on request.
//!
//! Never here: content negotiation and ETags. Documents are not kept: they are asked for rarely and are large.
//! Source: OpenAPI v3 ("Kubernetes OpenAPI Specification" in the API concepts); what kubectl reads of it (operations'
//! kinds, the `fieldValidation` parameter, patch keys).

mod gnostic;
mod operations;
mod schemas;
mod swagger;

use std::{fmt::Write as _, sync::LazyLock};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

use crate::resource::{Resource, group_versions, resources};

/// The version of the API that the schema describes.
pub const KUBERNETES_VERSION: &str = "v1.36.0";

/// `GET /openapi/v3`: where the document of each group and version is, with a hash of its contents.
#[must_use]
pub fn index() -> Value {
    static INDEX: LazyLock<Value> = LazyLock::new(|| {
        let mut paths = Map::new();
        for (group, version) in group_versions() {
            let path = document_path(group, version);
            let document = document(group, version).to_string();
            let hash = Sha512::digest(document.as_bytes())
                .iter()
                .fold(String::new(), |mut hex, byte| {
                    write!(hex, "{byte:02X}").expect("writing to a string cannot fail");
                    hex
                });
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path, json!({ "serverRelativeURL": url }));
        }
        json!({ "paths": paths })
    });
    INDEX.clone()
}

/// A document below `/openapi/v3/`, for example of `apis/apps/v1`; `None` when that is not served.
/// Takes some 10 ms and a few MB while it is made.
#[must_use]
pub fn group_document(path: &str) -> Option<Value> {
    let (group, version) = group_versions()
        .into_iter()
        .find(|(group, version)| document_path(group, version) == path)?;
    Some(document(group, version))
}

/// `GET /openapi/v2`: everything in one document, in the older format.
#[must_use]
pub fn v2() -> Value {
    let rows: Vec<&Resource> = resources().iter().collect();
    swagger::from_v3(openapi(&rows))
}

/// [`v2`] in the protobuf form of gnostic's `openapi.v2.Document`.
#[must_use]
pub fn v2_protobuf() -> Vec<u8> {
    gnostic::encode(&v2())
}

fn document(group: &str, version: &str) -> Value {
    let rows: Vec<&Resource> = resources()
        .iter()
        .filter(|row| row.group == group && row.version == version)
        .collect();
    openapi(&rows)
}

fn openapi(rows: &[&Resource]) -> Value {
    let mut paths = Map::new();
    let mut roots = vec![
        operations::DELETE_OPTIONS.to_owned(),
        operations::PATCH.to_owned(),
        operations::STATUS.to_owned(),
    ];
    for row in rows {
        operations::add_paths(row, &mut paths);
        roots.push(row.definition.to_owned());
        if row.stored {
            roots.push(operations::list_definition(row));
        }
        roots.extend(row.subresources.iter().map(|sub| sub.definition.to_owned()));
    }
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": KUBERNETES_VERSION },
        "paths": paths,
        "components": {
            "schemas": schemas::reachable(roots),
            "securitySchemes": {
                "BearerToken": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "authorization",
                    "description": "Bearer Token authentication",
                },
            },
        },
    })
}

/// `api/v1` or `apis/group/version`.
fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("api/{version}")
    } else {
        format!("apis/{group}/{version}")
    }
}

#[cfg(test)]
mod tests;
