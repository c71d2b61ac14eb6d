//! Following changes.

use anyhow::{Context, bail};
use futures::{Stream, StreamExt, TryStreamExt};
use serde_json::Value;

use super::{Connection, object, status::Status};

/// One change: "ADDED", "MODIFIED", "DELETED" or "BOOKMARK", and the object (or table) after it.
#[derive(Debug, Clone)]
pub(crate) struct WatchEvent {
    pub(crate) kind: String,
    pub(crate) object: Value,
}

/// Watches a collection from a revision. `parameters` may select; `accept` may ask for tables.
pub(crate) async fn watch(
    connection: &Connection,
    path: &str,
    parameters: &[(&str, String)],
    resource_version: &str,
    accept: &str,
) -> anyhow::Result<impl Stream<Item = anyhow::Result<WatchEvent>> + use<>> {
    let mut parameters = parameters.to_vec();
    parameters.push(("watch", "true".to_owned()));
    parameters.push(("resourceVersion", resource_version.to_owned()));
    let lines = connection
        .get_lines(&format!("{path}{}", object::query(&parameters)), accept)
        .await?;
    Ok(Box::pin(
        lines
            .map_err(anyhow::Error::from)
            .and_then(|line| async move { parse(&line) }),
    )
    .boxed())
}

fn parse(line: &str) -> anyhow::Result<WatchEvent> {
    let mut event: Value = serde_json::from_str(line).context("read a change that the server sent")?;
    let kind = object::text(&event["type"]);
    if kind == "ERROR" {
        bail!("{}", Status::from_value(500, &event["object"]));
    }
    Ok(WatchEvent {
        kind,
        object: event["object"].take(),
    })
}
