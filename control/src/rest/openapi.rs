//! OpenAPI documents, with ETags.
//!
//! Source: Kubernetes, "Kubernetes OpenAPI Specification".

use api::openapi;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, header};

use super::discovery::cached;
use crate::engine::ApiError;

/// What a client may keep for ever: the document's hash is in its address.
const IMMUTABLE: &str = "public, immutable, max-age=31536000";

/// `/openapi/v3`
pub(super) fn index(headers: &HeaderMap) -> Response<Body> {
    cached(headers, "application/json", &openapi::index())
}

/// `/openapi/v3/PATH`
pub(super) fn document(headers: &HeaderMap, path: &str, hashed: bool) -> Result<Response<Body>, ApiError> {
    let document = openapi::group_document(path).ok_or(ApiError::NoSuchPath)?;
    let mut response = cached(headers, "application/json", &document);
    if hashed {
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static(IMMUTABLE));
    }
    Ok(response)
}

/// `/openapi/v2`
pub(super) fn v2(headers: &HeaderMap) -> Response<Body> {
    cached(headers, "application/json", &openapi::v2())
}
