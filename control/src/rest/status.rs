//! Refusals and successes as HTTP: the only place with status codes of errors.
//!
//! Source: Kubernetes API conventions, "HTTP Status codes" and "Response Status Kind".

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

use crate::engine::{ApiError, Denial};

/// The HTTP status of a refusal.
#[must_use]
pub(super) fn code(error: &ApiError) -> StatusCode {
    if let ApiError::Node { status, .. } | ApiError::Denied(Denial { code: status, .. }) = error {
        return StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    }
    match error.reason() {
        "NotFound" => StatusCode::NOT_FOUND,
        "AlreadyExists" | "Conflict" => StatusCode::CONFLICT,
        "Invalid" => StatusCode::UNPROCESSABLE_ENTITY,
        "Forbidden" => StatusCode::FORBIDDEN,
        "BadRequest" => StatusCode::BAD_REQUEST,
        "Unauthorized" => StatusCode::UNAUTHORIZED,
        "MethodNotAllowed" => StatusCode::METHOD_NOT_ALLOWED,
        "Expired" => StatusCode::GONE,
        "Timeout" => StatusCode::GATEWAY_TIMEOUT,
        "RequestEntityTooLarge" => StatusCode::PAYLOAD_TOO_LARGE,
        "RequestURITooLong" => StatusCode::URI_TOO_LONG,
        "TooManyRequests" => StatusCode::TOO_MANY_REQUESTS,
        "UnsupportedMediaType" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "NotAcceptable" => StatusCode::NOT_ACCEPTABLE,
        "ServiceUnavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The Status object of a refusal.
#[must_use]
pub(super) fn failure(error: &ApiError) -> Value {
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.to_string(),
        "code": code(error).as_u16(),
    });
    if !error.reason().is_empty() {
        status["reason"] = json!(error.reason());
    }
    if let Some(details) = error.details() {
        status["details"] = details;
    }
    status
}

/// The Status object of a success.
#[must_use]
pub(super) fn success(details: Option<Value>) -> Value {
    let mut status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
    if let Some(details) = details {
        status["details"] = details;
    }
    status
}

/// The answer to a refused request.
#[must_use]
pub(super) fn refuse(error: &ApiError) -> Response<Body> {
    let code = code(error);
    // A configuration that does not fit is the client's fault, whatever code Kubernetes gives it.
    if code.is_server_error() && !matches!(error, ApiError::NotTyped(_)) {
        tracing::warn!(error = error as &dyn std::error::Error, %code, "request failed");
    }
    let mut response = json(code, &failure(error));
    if matches!(
        error,
        ApiError::TooLargeResourceVersion { .. } | ApiError::TooManyRequests(_) | ApiError::Unavailable(_)
    ) {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// A JSON answer.
#[must_use]
pub(super) fn json(code: StatusCode, value: &Value) -> Response<Body> {
    let bytes = serde_json::to_vec(value).expect("a JSON value with string keys encodes into memory");
    bytes_answer(code, "application/json", bytes)
}

/// An answer of these bytes.
#[must_use]
pub(super) fn bytes_answer(code: StatusCode, content_type: &'static str, bytes: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}
