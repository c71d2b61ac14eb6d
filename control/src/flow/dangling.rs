//! Says in each flow schema's status whether its priority level is there: the condition `Dangling`.
//!
//! What is to be said is decided by [`verdict`], which is pure.
//! Source: `flowcontrol.apiserver.k8s.io/v1` FlowSchemaStatus.

use std::{collections::BTreeSet, error::Error, time::Duration};

use api::{Timestamp, resource};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{LEVELS, SCHEMAS};
use crate::{
    engine::{ApiError, Caller, Engine, Patch, SERVER_MANAGER, WriteOptions, object, object::meta_str},
    store::{ListRequest, ReadError, Store, WatchEnd, WatchEvent, WatchRequest},
};

const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// Pause after the store could not be read or written.
const RETRY: Duration = Duration::from_secs(5);

/// Runs until `shutdown`, or until the store is closed.
pub(crate) async fn run(engine: Engine, shutdown: CancellationToken) {
    let work = async {
        while !follow(&engine).await {
            tokio::time::sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => {}
    }
}

/// Keeps the conditions right. True once the store is closed, false if it is to be tried again.
async fn follow(engine: &Engine) -> bool {
    let store = engine.store();
    let after = store.revision();
    let watch = |collection: &str| {
        store.watch(WatchRequest {
            collection: Some(collection.to_owned()),
            namespace: None,
            after,
        })
    };
    let (mut schemas, mut levels) = match (watch(SCHEMAS), watch(LEVELS)) {
        (Ok(schemas), Ok(levels)) => (schemas, levels),
        (Err(ReadError::Closed), _) | (_, Err(ReadError::Closed)) => return true,
        (Err(_), _) | (_, Err(_)) => return false,
    };
    loop {
        if let Err(error) = judge_all(engine).await {
            tracing::warn!(error = &error as &dyn Error, "flow schemas have no condition");
            return false;
        }
        loop {
            let event = tokio::select! {
                event = schemas.next() => event,
                event = levels.next() => event,
            };
            match event {
                Ok(WatchEvent::Progress(_)) => {}
                Ok(WatchEvent::Change(_)) => break,
                Err(WatchEnd::Closed) => return true,
                Err(_) => return false,
            }
        }
    }
}

async fn judge_all(engine: &Engine) -> Result<(), ApiError> {
    let levels: BTreeSet<String> = objects(engine.store(), LEVELS)?
        .iter()
        .map(|level| meta_str(level, "name").to_owned())
        .collect();
    let row = resource::by_path(GROUP, "v1", "flowschemas").expect("the table has FlowSchema");
    for schema in objects(engine.store(), SCHEMAS)? {
        let Some(condition) = verdict(&schema, &levels, Timestamp::now()) else {
            continue;
        };
        let patch = Patch::Strategic(json!({ "status": { "conditions": [condition] } }));
        let (caller, options) = (Caller::system("system:apiserver"), WriteOptions::by(SERVER_MANAGER));
        let name = meta_str(&schema, "name");
        let patched = engine.patch(&caller, row, "", name, Some("status"), patch, &options);
        match patched.await {
            Ok(_) | Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn objects(store: &Store, collection: &str) -> Result<Vec<Value>, ApiError> {
    let page = store.list(&ListRequest {
        collection: collection.to_owned(),
        ..ListRequest::default()
    });
    page.map_err(ApiError::Read)?.items.iter().map(object::decode).collect()
}

/// The condition that a schema is to get; none if it has it.
fn verdict(schema: &Value, levels: &BTreeSet<String>, now: Timestamp) -> Option<Value> {
    let level = schema["spec"]["priorityLevelConfiguration"]["name"]
        .as_str()
        .unwrap_or_default();
    let start = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = if levels.contains(level) {
        ("False", "Found", format!("{start} and it exists"))
    } else {
        ("True", "NotFound", format!("{start} but there is no such object"))
    };
    let mut conditions = schema["status"]["conditions"].as_array().into_iter().flatten();
    let present = conditions.find(|condition| condition["type"] == "Dangling");
    if present.is_some_and(|present| present["status"] == status && present["message"] == message) {
        return None;
    }
    let since = present.filter(|present| present["status"] == status).map_or_else(
        || json!(object::timestamp(now)),
        |present| present["lastTransitionTime"].clone(),
    );
    Some(json!({
        "type": "Dangling",
        "status": status,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }))
}

#[cfg(test)]
mod tests;
