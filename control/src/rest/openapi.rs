//! OpenAPI documents, with ETags.
//!
//! Source: Kubernetes, "Kubernetes OpenAPI Specification".

use api::{openapi, resource::Kinds};
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, header};
use serde_json::json;

use super::{
    discovery::{cached, cached_bytes},
    negotiate::wants_openapi_protobuf,
};
use crate::engine::ApiError;

/// What a client may keep for ever: the document's hash is in its address.
const IMMUTABLE: &str = "public, immutable, max-age=31536000";

/// What the protobuf form of the older document is called in answers.
const OPENAPI_V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// `/openapi/v3`, with what other servers have: paths, and where their documents are.
pub(super) fn index(headers: &HeaderMap, kinds: &Kinds, others: Vec<(String, String)>) -> Response<Body> {
    let mut document = openapi::index(kinds);
    for (path, url) in others {
        document["paths"][path] = json!({ "serverRelativeURL": url });
    }
    cached(headers, "application/json", &document)
}

/// `/openapi/v3/PATH`
pub(super) fn document(
    headers: &HeaderMap,
    kinds: &Kinds,
    path: &str,
    hashed: bool,
) -> Result<Response<Body>, ApiError> {
    let document = openapi::group_document(kinds, path).ok_or(ApiError::NoSuchPath)?;
    let mut response = cached(headers, "application/json", &document);
    if hashed {
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    }
    Ok(response)
}

/// `/openapi/v2`
pub(super) fn v2(headers: &HeaderMap, kinds: &Kinds) -> Response<Body> {
    if wants_openapi_protobuf(headers) {
        return cached_bytes(headers, OPENAPI_V2_PROTOBUF, openapi::v2_protobuf(kinds));
    }
    cached(headers, "application/json", &openapi::v2(kinds))
}
