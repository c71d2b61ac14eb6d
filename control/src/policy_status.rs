//! Tells in the status of ValidatingAdmissionPolicies what is wrong with the types of their expressions.
//!
//! Follows their collection; no polling. Never here: what is wrong (`admission::policy`).

use std::{error::Error, time::Duration};

use api::resource::{self, Resource};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::policy::type_status,
    engine::{ApiError, Caller, Engine, SERVER_MANAGER, WriteOptions, object},
    store::{ListRequest, ReadError, Stored, WatchEnd, WatchEvent, WatchRequest},
};

/// Pause after the store could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until `stop`, or until the store is closed.
pub(crate) async fn run(engine: Engine, stop: CancellationToken) {
    let follow = async {
        loop {
            match follow(&engine).await {
                Ok(WatchEnd::Closed) => return,
                Ok(end) => tracing::warn!(error = &end as &dyn Error, "policies are read again"),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn Error, "policies cannot be read");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow => {}
    }
}

/// Looks at the policies that there are, and at every one that changes; answers why that ended.
async fn follow(engine: &Engine) -> Result<WatchEnd, ReadError> {
    let collection = row().collection();
    let page = engine.store().list(&ListRequest {
        collection: collection.clone(),
        ..ListRequest::default()
    })?;
    let mut watcher = engine.store().watch(WatchRequest {
        collection: Some(collection),
        after: page.revision,
        ..WatchRequest::default()
    })?;
    for stored in &page.items {
        look(engine, stored).await;
    }
    loop {
        match watcher.next().await {
            Ok(WatchEvent::Change(change)) => {
                if let Some(stored) = &change.after {
                    look(engine, stored).await;
                }
            }
            Ok(WatchEvent::Progress(_)) => {}
            Err(end) => return Ok(end),
        }
    }
}

async fn look(engine: &Engine, stored: &Stored) {
    let written = async {
        let mut policy = object::decode(stored)?;
        let Some(status) = type_status(&policy, &engine.registry().kinds()) else {
            return Ok(());
        };
        policy["status"] = status;
        let (caller, options) = (Caller::system("system:apiserver"), WriteOptions::by(SERVER_MANAGER));
        let name = &stored.key.name;
        let update = engine.update(&caller, row(), "", name, Some("status"), policy, &options);
        update.await.map(drop)
    };
    match written.await {
        // What changed it brings the next attempt.
        Ok(()) | Err(ApiError::Conflict { .. } | ApiError::NotFound(_)) => {}
        Err(error) => {
            let (name, error) = (&stored.key.name, &error as &dyn Error);
            tracing::warn!(name, error, "the status of a policy was not written");
        }
    }
}

fn row() -> &'static Resource {
    resource::by_path("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")
        .expect("the table has the kind")
}
