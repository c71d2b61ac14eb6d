//! Health and version, for everybody.

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::json;

use super::{Context, status};
use crate::engine::{ApiError, key};

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

/// `/healthz`, `/livez`, `/readyz`: whether the process answers and its store can be read.
pub(super) fn check(context: &Context, check: &str, part: &str) -> Result<Response<Body>, ApiError> {
    let wanted = |name: &str| part.is_empty() || part == name;
    let mut report = String::new();
    let mut healthy = true;
    if wanted("ping") {
        report.push_str("[+]ping ok\n");
    }
    if wanted("store") {
        let namespaces = api::resource::by_path("", "v1", "namespaces").ok_or(ApiError::NoSuchPath)?;
        match context.engine().store().get(&key(namespaces, "", "default"), None) {
            Ok(_) => report.push_str("[+]store ok\n"),
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
