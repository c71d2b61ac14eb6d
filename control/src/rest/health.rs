//! Health and version, for everybody.
//!
//! `/livez` fails when only a restart helps, `/readyz` also when the server cannot serve now: before it has read what
//! there is, and from the moment it is told to stop. `/healthz` is `/livez` by its old name.
//! Source: Kubernetes, "Kubernetes API health endpoints".

use std::time::Duration;

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::json;

use super::{Context, status};
use crate::{
    engine::{ApiError, key},
    store::{CommitError, Expect, Op, ReadError, Write},
};

/// The name of the check of the store.
pub(super) const STORE: &str = "store";
const TEXT: &str = "text/plain; charset=utf-8";
/// The Kubernetes API that this server speaks.
const MINOR: &str = "36";
/// How long the store's writer may take to answer: several times the slowest sync of a bad disk.
const WRITE_WAIT: Duration = Duration::from_secs(5);

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// The server answers.
    Ping,
    /// The store can be read.
    StoreRead,
    /// The store's writer answers.
    StoreWrite,
    /// The controllers run.
    Driver,
    /// The controllers have read everything there is.
    Sync,
    /// The server was not told to stop.
    Shutdown,
}

impl Check {
    const LIVE: [Check; 4] = [Check::Ping, Check::StoreRead, Check::StoreWrite, Check::Driver];
    const READY: [Check; 6] = [
        Check::Ping,
        Check::StoreRead,
        Check::StoreWrite,
        Check::Driver,
        Check::Sync,
        Check::Shutdown,
    ];

    const fn name(self) -> &'static str {
        match self {
            Check::Ping => "ping",
            Check::StoreRead => STORE,
            Check::StoreWrite => "store-write",
            Check::Driver => "driver",
            Check::Sync => "informer-sync",
            Check::Shutdown => "shutdown",
        }
    }

    async fn result(self, context: &Context) -> Result<(), String> {
        let progress = &context.rest.inner.progress;
        match self {
            Check::Ping => Ok(()),
            Check::StoreRead => store(context).map_err(|error| error.to_string()),
            Check::StoreWrite => store_write(context).await,
            Check::Driver if progress.is_running() => Ok(()),
            Check::Driver => Err("the controllers do not run".to_owned()),
            Check::Sync if progress.has_read_all() => Ok(()),
            Check::Sync => Err("the controllers have not read everything yet".to_owned()),
            Check::Shutdown if !context.rest.inner.stopping.is_cancelled() => Ok(()),
            Check::Shutdown => Err("process is shutting down".to_owned()),
        }
    }
}

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

/// Whether the store's writer answers. Writes nothing, so that probes do not wear out disks.
async fn store_write(context: &Context) -> Result<(), String> {
    let store = context.engine().store();
    let namespaces = api::resource::by_path("", "v1", "namespaces").expect("the table has Namespace");
    let check = Write {
        key: key(namespaces, "", "default"),
        expect: Expect::Anything,
        op: Op::Check,
    };
    match tokio::time::timeout(WRITE_WAIT, store.commit(vec![check])).await {
        // With a full disk, what only reads goes on, and a restart makes no room.
        Ok(Ok(_) | Err(CommitError::DiskFull(_))) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} seconds", WRITE_WAIT.as_secs())),
    }
}

/// `/healthz`, `/livez`, `/readyz`, and one check of theirs below each.
pub(super) async fn check(context: &Context, endpoint: &str, part: &str) -> Result<Response<Body>, ApiError> {
    let checks: &[Check] = if endpoint == "readyz" {
        &Check::READY
    } else {
        &Check::LIVE
    };
    if !part.is_empty() {
        let check = checks.iter().find(|check| check.name() == part);
        return match check.ok_or(ApiError::NoSuchPath)?.result(context).await {
            Ok(()) => Ok(status::bytes_answer(StatusCode::OK, TEXT, "ok")),
            Err(error) => Ok(status::bytes_answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                format!("internal server error: {error}\n"),
            )),
        };
    }
    let excluded = context.query.all("exclude");
    let mut results = Vec::new();
    for check in checks {
        let is_excluded = excluded.iter().any(|name| name == check.name());
        let result = if is_excluded {
            None
        } else {
            Some(check.result(context).await)
        };
        results.push((check.name(), result));
    }
    let report = report(endpoint, &results, &excluded);
    for (name, result) in &results {
        if let Some(Err(error)) = result {
            tracing::warn!(endpoint, check = name, error, "health check failed");
        }
    }
    Ok(match (report.is_healthy, context.query.has("verbose")) {
        (false, _) => status::bytes_answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, report.text),
        (true, true) => status::bytes_answer(StatusCode::OK, TEXT, report.text),
        (true, false) => status::bytes_answer(StatusCode::OK, TEXT, "ok"),
    })
}

struct Report {
    is_healthy: bool,
    text: String,
}

/// What to say of checks; those without a result are excluded. Why one failed is for the log: anybody may ask.
fn report(endpoint: &str, results: &[(&str, Option<Result<(), String>>)], excluded: &[String]) -> Report {
    let mut text = String::new();
    let mut is_healthy = true;
    for (name, result) in results {
        match result {
            None => text.push_str(&format!("[+]{name} excluded: ok\n")),
            Some(Ok(())) => text.push_str(&format!("[+]{name} ok\n")),
            Some(Err(_)) => {
                is_healthy = false;
                text.push_str(&format!("[-]{name} failed: reason withheld\n"));
            }
        }
    }
    let unknown: Vec<String> = excluded
        .iter()
        .filter(|wanted| !results.iter().any(|(name, _)| name == wanted))
        .map(|name| format!("{name:?}"))
        .collect();
    if !unknown.is_empty() {
        text.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {}\n",
            unknown.join(",")
        ));
    }
    let end = if is_healthy { "passed" } else { "failed" };
    text.push_str(&format!("{endpoint} check {end}\n"));
    Report { is_healthy, text }
}

#[cfg(test)]
mod tests;
