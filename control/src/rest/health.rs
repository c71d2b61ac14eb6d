//! Health and version, for everybody.

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::json;

use super::{Context, status};
use crate::{
    engine::{ApiError, key},
    store::ReadError,
};

/// The name of the check of the store.
pub(super) const STORE: &str = "store";
const TEXT: &str = "text/plain; charset=utf-8";
/// The Kubernetes API that this server speaks.
const MINOR: &str = "36";

/// `/version`
pub(super) fn version() -> Response<Body> {
    status::json(
        StatusCode::OK,
        &json!({
            "major": "1",
            "minor": MINOR,
            "gitVersion": format!("v1.{MINOR}.0+skep"),
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": "rustc",
            "platform": format!("{}/{}", std::env::consts::OS, architecture()),
        }),
    )
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether the store can be read.
pub(super) fn store(context: &Context) -> Result<(), ReadError> {
    let namespaces = api::resource::by_path("", "v1", "namespaces").expect("the table has Namespace");
    context
        .engine()
        .store()
        .get(&key(namespaces, "", "default"), None)
        .map(drop)
}

/// `/healthz`, `/livez`, `/readyz`: whether the process answers and its store can be read.
pub(super) fn check(context: &Context, check: &str, part: &str) -> Result<Response<Body>, ApiError> {
    let wanted = |name: &str| part.is_empty() || part == name;
    let mut report = String::new();
    let mut healthy = true;
    if wanted("ping") {
        report.push_str("[+]ping ok\n");
    }
    if wanted(STORE) {
        match store(context) {
            Ok(()) => report.push_str("[+]store ok\n"),
            Err(error) => {
                healthy = false;
                report.push_str(&format!("[-]store failed: {error}\n"));
            }
        }
    }
    if report.is_empty() {
        return Err(ApiError::NoSuchPath);
    }
    if !healthy {
        report.push_str(&format!("{check} check failed\n"));
        return Ok(status::bytes_answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, report));
    }
    if context.query.has("verbose") {
        report.push_str(&format!("{check} check passed\n"));
        return Ok(status::bytes_answer(StatusCode::OK, TEXT, report));
    }
    Ok(status::bytes_answer(StatusCode::OK, TEXT, "ok"))
}
