//! OpenAPI documents of what is served, made from the schema on request.
//!
//! Source: OpenAPI v3 ("Kubernetes OpenAPI Specification" in the API concepts).

use serde_json::{Value, json};

/// `GET /openapi/v3`: where the document of each group and version is.
#[must_use]
pub fn index() -> Value {
    json!({ "paths": {} })
}

/// A document below `/openapi/v3/`, for example of `apis/apps/v1`; `None` when that is not served.
#[must_use]
pub fn group_document(_path: &str) -> Option<Value> {
    None
}

/// `GET /openapi/v2`: everything in one document.
#[must_use]
pub fn v2() -> Value {
    json!({ "swagger": "2.0", "info": { "title": "Kubernetes", "version": "v1.36.0" }, "paths": {}, "definitions": {} })
}
