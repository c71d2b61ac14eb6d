//! Carries out what CustomResourceDefinitions ask for: their kinds are served, their status told, their objects
//! deleted with them.
//!
//! Follows the collection of definitions; no polling. Never here: what the status says (`reconcile::definitions`), and
//! what a kind's objects must look like (`api::custom`).

mod api_services;

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    time::Duration,
};

use api::{
    Timestamp,
    custom::{self, TooManyRows},
    resource::{self, Resource},
};
use reconcile::definitions::{self, CLEANUP_FINALIZER};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{ApiError, Caller, DeleteOptions, Engine, ListOptions, SERVER_MANAGER, WriteOptions, object},
    kinds::Addition,
    store::{ListRequest, ReadError, Stored, WatchEnd, WatchEvent, WatchRequest, Watcher},
};

/// Pause after the store could not be read or written.
const RETRY: Duration = Duration::from_secs(1);
/// How long a deletion waits for finalizers before it looks again; changes wake it earlier.
const CLEANUP_CHECK: Duration = Duration::from_secs(30);

/// Follows definitions and serves their kinds.
pub(crate) struct Definitions {
    engine: Engine,
    known: BTreeMap<String, Value>,
    /// Definitions whose objects are being deleted, one task each.
    cleaning: JoinSet<String>,
    being_cleaned: BTreeSet<String>,
}

impl Definitions {
    /// Reads the definitions and serves the kinds of those that are established: before the first request.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn open(engine: Engine) -> Result<(Definitions, Watcher), ReadError> {
        let mut definitions = Definitions {
            engine,
            known: BTreeMap::new(),
            cleaning: JoinSet::new(),
            being_cleaned: BTreeSet::new(),
        };
        let watcher = definitions.load()?;
        Ok((definitions, watcher))
    }

    /// Runs until `shutdown`, or until the store is closed.
    pub(crate) async fn run(mut self, watcher: Watcher, shutdown: CancellationToken) {
        tokio::select! {
            () = self.follow(watcher) => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn follow(&mut self, mut watcher: Watcher) {
        self.settle().await;
        loop {
            tokio::select! {
                event = watcher.next() => match event {
                    Ok(WatchEvent::Change(change)) => {
                        self.changed(&change.key.name, change.after.as_ref());
                        self.settle().await;
                    }
                    Ok(WatchEvent::Progress(_)) => {}
                    Err(WatchEnd::Closed) => return,
                    Err(end) => {
                        tracing::warn!(error = &end as &dyn Error, "definitions are read again");
                        watcher = self.reload().await;
                        self.settle().await;
                    }
                },
                Some(ended) = self.cleaning.join_next() => {
                    if let Ok(name) = ended {
                        self.being_cleaned.remove(&name);
                    }
                    self.settle().await;
                }
            }
        }
    }

    async fn reload(&mut self) -> Watcher {
        loop {
            match self.load() {
                Ok(watcher) => return watcher,
                Err(error) => {
                    tracing::error!(error = &error as &dyn Error, "definitions cannot be read");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn load(&mut self) -> Result<Watcher, ReadError> {
        let store = self.engine.store();
        let collection = row().collection();
        let page = store.list(&ListRequest {
            collection: collection.clone(),
            ..ListRequest::default()
        })?;
        let watcher = store.watch(WatchRequest {
            collection: Some(collection),
            after: page.revision,
            ..WatchRequest::default()
        })?;
        let gone: Vec<String> = {
            let there = |name: &String| page.items.iter().any(|item| item.key.name == *name);
            self.known.keys().filter(|name| !there(name)).cloned().collect()
        };
        gone.iter().for_each(|name| self.changed(name, None));
        for stored in &page.items {
            self.changed(&stored.key.name, Some(stored));
        }
        Ok(watcher)
    }

    /// Takes a change in and serves what the definition says now.
    fn changed(&mut self, name: &str, stored: Option<&Stored>) {
        let definition = stored.and_then(|stored| match object::decode(stored) {
            Ok(definition) => Some(definition),
            Err(error) => {
                tracing::warn!(name, error = &error as &dyn Error, "definition does not decode");
                None
            }
        });
        match definition {
            Some(definition) => {
                self.serve(name, &definition);
                self.known.insert(name.to_owned(), definition);
            }
            None => {
                self.engine.registry().serve(name, Addition::default());
                self.known.remove(name);
            }
        }
    }

    /// Serves the rows of an established definition; answers why not, if they cannot be.
    fn serve(&self, name: &str, definition: &Value) -> Option<String> {
        let added = if custom::is_established(definition) {
            added(definition)
        } else {
            Ok(Addition::default())
        };
        let (addition, refusal) = match added {
            Ok(addition) => (addition, None),
            Err(error) => (Addition::default(), Some(error.to_string())),
        };
        self.engine.registry().serve(name, addition);
        refusal
    }

    /// Writes the status of every definition that should have another one; starts to clean up after those that go.
    async fn tell_all(&mut self) {
        let names: Vec<String> = self.known.keys().cloned().collect();
        for name in names {
            let Some(definition) = self.known.get(&name) else {
                continue;
            };
            let now = Timestamp::now();
            if object::is_terminating(definition) {
                if object::finalizers(definition).contains(&CLEANUP_FINALIZER) {
                    self.clean(&name);
                }
                continue;
            }
            let refusal = self.serve(&name, definition);
            let Some(status) = definitions::status(definition, &self.known, refusal.as_deref(), now) else {
                continue;
            };
            let mut wanted = definition.clone();
            wanted["status"] = status;
            // Served before anybody can read that it is.
            self.serve(&name, &wanted);
            match write_status(&self.engine, &name, wanted).await {
                Ok(written) => {
                    self.known.insert(name, written);
                }
                // Its next change brings the next attempt.
                Err(ApiError::Conflict { .. } | ApiError::NotFound(_)) => {}
                Err(error) => {
                    tracing::warn!(
                        name,
                        error = &error as &dyn Error,
                        "status of a definition was not written"
                    );
                }
            }
        }
    }

    /// Writes what follows from the definitions as they are now.
    async fn settle(&mut self) {
        self.tell_all().await;
        if let Err(error) = api_services::settle(&self.engine).await {
            tracing::warn!(
                error = &error as &dyn Error,
                "API services of custom kinds are not up to date"
            );
        }
    }

    fn clean(&mut self, name: &str) {
        if !self.being_cleaned.insert(name.to_owned()) {
            return;
        }
        let (engine, name) = (self.engine.clone(), name.to_owned());
        self.cleaning.spawn(async move {
            while let Err(error) = clean(&engine, &name).await {
                tracing::warn!(
                    name,
                    error = &error as &dyn Error,
                    "objects of a definition are not deleted yet"
                );
                tokio::time::sleep(RETRY).await;
            }
            name
        });
    }
}

/// What an established definition adds.
fn added(definition: &Value) -> Result<Addition, TooManyRows> {
    Ok(Addition {
        rows: custom::rows(definition)?,
        forms: custom::forms(definition)?,
        conversion: definition["spec"]["conversion"].clone(),
        is_closing: object::is_terminating(definition),
    })
}

/// Deletes the objects of a definition that is being deleted, waits until they are gone, and lets the definition go.
async fn clean(engine: &Engine, name: &str) -> Result<(), ApiError> {
    let progress = |reason: &'static str, message: &'static str| async move {
        let definition = engine.get(row(), "", name)?;
        match definitions::terminating(&definition, reason, message, Timestamp::now()) {
            Some(status) => {
                let mut wanted = definition;
                wanted["status"] = status;
                write_status(engine, name, wanted).await
            }
            None => Ok(definition),
        }
    };
    let definition = match progress("InstanceDeletionInProgress", "CustomResource deletion is in progress").await {
        Err(ApiError::NotFound(_)) => return Ok(()),
        other => other?,
    };
    if custom::is_established(&definition)
        && let Some(row) = custom::rows(&definition).ok().and_then(|rows| rows.first().copied())
    {
        // In the version that they are stored in: nobody has to convert what goes.
        let row = engine.registry().storage_row(row).unwrap_or(row);
        empty(engine, row).await?;
    }
    let mut freed = progress("InstanceDeletionCompleted", "removed all instances").await?;
    let list: Vec<&str> = object::finalizers(&freed);
    let left: Vec<String> = list
        .into_iter()
        .filter(|finalizer| *finalizer != CLEANUP_FINALIZER)
        .map(str::to_owned)
        .collect();
    object::metadata_mut(&mut freed).insert("finalizers".to_owned(), json!(left));
    match engine
        .update(
            &caller(),
            row(),
            "",
            name,
            None,
            freed,
            &WriteOptions::by(SERVER_MANAGER),
        )
        .await
    {
        Ok(_) | Err(ApiError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes every object of the kind and returns when none is left.
async fn empty(engine: &Engine, row: &'static Resource) -> Result<(), ApiError> {
    loop {
        let page = engine.list(row, &ListOptions::default()).await?;
        if page.items.is_empty() {
            return Ok(());
        }
        let mut watcher = engine
            .store()
            .watch(WatchRequest {
                collection: Some(row.collection()),
                after: page.revision,
                ..WatchRequest::default()
            })
            .map_err(ApiError::Read)?;
        let caller = caller();
        for item in &page.items {
            let key = &item.key;
            let deletion = engine.delete(&caller, row, &key.namespace, &key.name, DeleteOptions::default());
            match deletion.await {
                Ok(_) | Err(ApiError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // The last deletion may have been the last object; else something keeps one.
        let changed = async {
            while let Ok(event) = watcher.next().await {
                if matches!(event, WatchEvent::Change(_)) {
                    return;
                }
            }
        };
        if tokio::time::timeout(CLEANUP_CHECK, changed).await.is_err() {
            tracing::info!(
                kind = row.qualified(),
                "objects of a deleted definition are kept by finalizers"
            );
        }
    }
}

async fn write_status(engine: &Engine, name: &str, wanted: Value) -> Result<Value, ApiError> {
    let options = WriteOptions::by(SERVER_MANAGER);
    engine
        .update(&caller(), row(), "", name, Some("status"), wanted, &options)
        .await
}

fn caller() -> Caller {
    Caller::system("system:apiserver")
}

/// The row of CustomResourceDefinitions.
fn row() -> &'static Resource {
    resource::by_path("apiextensions.k8s.io", "v1", "customresourcedefinitions").expect("the table has the kind")
}

#[cfg(test)]
mod tests;
