//! Discovery: which groups, versions and resources there are, in the plain and in the aggregated form, with ETags.
//!
//! Source: Kubernetes API Concepts, "Discovery API".

use api::{
    discovery::{self, RemoteVersion},
    resource::Kinds,
};
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{negotiate::wants_aggregated_discovery, status};
use crate::{
    engine::{ApiError, Tokens},
    pki::hex,
};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/`
pub(super) fn root() -> Response<Body> {
    let paths = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/healthz",
        "/livez",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ];
    status::json(StatusCode::OK, &json!({ "paths": paths }))
}

/// `/api`
pub(super) fn core_versions(headers: &HeaderMap, kinds: &Kinds) -> Response<Body> {
    if wants_aggregated_discovery(headers) {
        return cached(headers, AGGREGATED, &discovery::aggregated_core(kinds));
    }
    cached(headers, "application/json", &discovery::core_versions(""))
}

/// `/apis`
pub(super) fn groups(headers: &HeaderMap, kinds: &Kinds, remotes: &[RemoteVersion]) -> Response<Body> {
    if wants_aggregated_discovery(headers) {
        let mut document = discovery::aggregated_groups(kinds);
        discovery::add_remote_aggregated(&mut document, remotes);
        return cached(headers, AGGREGATED, &document);
    }
    let mut document = discovery::group_list(kinds);
    discovery::add_remote(&mut document, remotes);
    cached(headers, "application/json", &document)
}

/// `/apis/GROUP`
pub(super) fn group(
    headers: &HeaderMap,
    kinds: &Kinds,
    group: &str,
    remotes: &[RemoteVersion],
) -> Result<Response<Body>, ApiError> {
    let value = discovery::remote_group(discovery::group(kinds, group), group, remotes);
    let value = value.ok_or(ApiError::NoSuchPath)?;
    Ok(cached(headers, "application/json", &value))
}

/// `/api/v1`, `/apis/GROUP/VERSION`
pub(super) fn resources(
    headers: &HeaderMap,
    kinds: &Kinds,
    group: &str,
    version: &str,
) -> Result<Response<Body>, ApiError> {
    let value = discovery::resource_list(kinds, group, version).ok_or(ApiError::NoSuchPath)?;
    Ok(cached(headers, "application/json", &value))
}

/// `/.well-known/openid-configuration`
pub(super) fn openid_configuration(tokens: &Tokens) -> Response<Body> {
    openid("application/json", &tokens.discovery())
}

/// `/openid/v1/jwks`
pub(super) fn openid_keys(tokens: &Tokens) -> Response<Body> {
    openid("application/jwk-set+json", &tokens.key_set())
}

fn openid(content_type: &'static str, value: &Value) -> Response<Body> {
    let mut response = status::bytes_answer(StatusCode::OK, content_type, value.to_string());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

/// A document that clients keep until it changes.
pub(super) fn cached(headers: &HeaderMap, content_type: &'static str, value: &Value) -> Response<Body> {
    let bytes = serde_json::to_vec(value).expect("a JSON value with string keys encodes into memory");
    cached_bytes(headers, content_type, bytes)
}

/// As [`cached`], of a document that is encoded.
pub(super) fn cached_bytes(headers: &HeaderMap, content_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let tag = format!("\"{}\"", hex(&Sha256::digest(&bytes)).to_ascii_uppercase());
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag || known.trim() == "*");
    let mut response = if known {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        status::bytes_answer(StatusCode::OK, content_type, bytes)
    };
    let headers = response.headers_mut();
    headers.insert(
        header::ETAG,
        HeaderValue::try_from(tag).expect("hexadecimal in quotes is a header value"),
    );
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
    response
}
