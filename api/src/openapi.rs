//! OpenAPI documents of what is served, made from the schema on request.
//!
//! Never here: content negotiation and ETags. Documents are not kept: they are asked for rarely and are large.
//! Source: OpenAPI v3 ("Kubernetes OpenAPI Specification" in the API concepts); what kubectl reads of it (operations'
//! kinds, the `fieldValidation` parameter, patch keys).

mod gnostic;
mod operations;
mod schemas;
mod swagger;

use std::{collections::HashMap, fmt::Write as _, sync::LazyLock};

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

use crate::{
    custom::published::{self, Format},
    resource::{Kinds, Resource},
};

/// The version of the API that the schema describes.
pub const KUBERNETES_VERSION: &str = "v1.36.0";

/// `GET /openapi/v3`: where the document of each group and version is, with a hash of its contents.
#[must_use]
pub fn index(kinds: &Kinds) -> Value {
    /// Hashes of the documents of built-in kinds, which do not change.
    static HASHES: LazyLock<HashMap<(&str, &str), String>> = LazyLock::new(|| {
        let kinds = Kinds::builtin();
        let pairs = kinds.group_versions().into_iter();
        pairs
            .map(|(group, version)| ((group, version), hash(&kinds, group, version)))
            .collect()
    });
    let mut paths = Map::new();
    for (group, version) in kinds.group_versions() {
        let is_builtin = kinds.of(group, version).all(|row| row.custom.is_none());
        let hash = match HASHES.get(&(group, version)).filter(|_| is_builtin) {
            Some(hash) => hash.clone(),
            None => hash(kinds, group, version),
        };
        let path = document_path(group, version);
        let url = format!("/openapi/v3/{path}?hash={hash}");
        paths.insert(path, json!({ "serverRelativeURL": url }));
    }
    json!({ "paths": paths })
}

fn hash(kinds: &Kinds, group: &str, version: &str) -> String {
    let document = document(kinds, group, version).to_string();
    Sha512::digest(document.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02X}").expect("writing to a string cannot fail");
            hex
        })
}

/// A document below `/openapi/v3/`, for example of `apis/apps/v1`; `None` when that is not served.
/// Takes some 10 ms and a few MB while it is made.
#[must_use]
pub fn group_document(kinds: &Kinds, path: &str) -> Option<Value> {
    let (group, version) = kinds
        .group_versions()
        .into_iter()
        .find(|(group, version)| document_path(group, version) == path)?;
    Some(document(kinds, group, version))
}

/// `GET /openapi/v2`: everything in one document, in the older format.
#[must_use]
pub fn v2(kinds: &Kinds) -> Value {
    swagger::from_v3(openapi(kinds.rows(), Format::V2))
}

/// [`v2`] in the protobuf form of gnostic's `openapi.v2.Document`.
#[must_use]
pub fn v2_protobuf(kinds: &Kinds) -> Vec<u8> {
    gnostic::encode(&v2(kinds))
}

fn document(kinds: &Kinds, group: &str, version: &str) -> Value {
    let rows: Vec<&Resource> = kinds.of(group, version).collect();
    openapi(&rows, Format::V3)
}

fn openapi(rows: &[&Resource], format: Format) -> Value {
    let mut paths = Map::new();
    let mut roots = vec![
        operations::DELETE_OPTIONS.to_owned(),
        operations::PATCH.to_owned(),
        operations::STATUS.to_owned(),
    ];
    let mut declared = Vec::new();
    for row in rows {
        operations::add_paths(row, &mut paths);
        roots.push(row.definition.to_owned());
        if row.is_kept {
            roots.push(operations::list_definition(row));
        }
        let typed = row.subresources.iter().filter(|sub| !sub.is_stream());
        roots.extend(typed.map(|sub| sub.definition.to_owned()));
        if let Some(custom) = row.custom {
            let (definitions, referred) = published::definitions(row, custom, format);
            declared.extend(definitions);
            roots.extend(referred);
        }
    }
    let mut schemas = schemas::reachable(roots);
    schemas.extend(declared);
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": KUBERNETES_VERSION },
        "paths": paths,
        "components": {
            "schemas": schemas,
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
