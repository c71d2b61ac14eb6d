//! Objects of custom kinds in the version that is asked for, where only a webhook knows how one becomes the other.
//!
//! ```text
//!   stored ──▶ defaults of its version ──▶ webhook ──▶ fields of the row's version ──▶ the engine
//!   the engine ──▶ webhook ──▶ fields of the storage version ──▶ stored
//! ```
//! Everything between works on the form of the row that was asked for. Without a webhook nothing here waits: see
//! [`object::show_as`]. Never here: what is said to a webhook (`conversion`), how it is reached (`reach`).
//! Source: Kubernetes, "Versions in CustomResourceDefinitions".

use std::borrow::Cow;

use api::resource::Resource;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;
use uuid::Uuid;

use super::{ApiError, Engine, object};
use crate::{
    conversion::{Fault, Hook, TIMEOUT, batches},
    reach,
    store::Stored,
};

/// An object as a webhook converted it to be stored.
pub(super) struct Kept {
    pub(super) bytes: Bytes,
    /// What reading it will show in the version of its writer.
    pub(super) shown: Value,
}

impl Engine {
    /// These versions of objects with their bytes in the row's version, if a webhook converts them; as they are, if
    /// not.
    ///
    /// # Errors
    /// [`ApiError::Conversion`] when the webhook does not convert them.
    pub(crate) async fn in_version(&self, row: &Resource, mut items: Vec<Stored>) -> Result<Vec<Stored>, ApiError> {
        let Some(hook) = self.registry().hook(row) else {
            return Ok(items);
        };
        let api_version = row.api_version();
        let other: Vec<usize> = (0..items.len())
            .filter(|index| !object::is_in_version(&items[*index], &api_version))
            .collect();
        let mut rest = other.as_slice();
        for count in batches(other.iter().map(|index| items[*index].value.len())) {
            let (batch, later) = rest.split_at(count);
            rest = later;
            let decoded = batch.iter().map(|index| self.as_it_was_kept(row, &items[*index]));
            let decoded = decoded.collect::<Result<Vec<_>, _>>()?;
            let converted = self.ask_to_convert(&hook, &api_version, &decoded).await?;
            for (index, object) in batch.iter().zip(converted) {
                items[*index].value = object::encode(&object);
            }
        }
        Ok(items)
    }

    /// As [`Engine::in_version`], for one.
    ///
    /// # Errors
    /// The same.
    pub(crate) async fn one_in_version<'s>(
        &self,
        row: &Resource,
        stored: &'s Stored,
    ) -> Result<Cow<'s, Stored>, ApiError> {
        if !self.is_converted(row) {
            return Ok(Cow::Borrowed(stored));
        }
        let mut items = self.in_version(row, vec![stored.clone()]).await?;
        Ok(Cow::Owned(items.swap_remove(0)))
    }

    /// As [`Engine::one_in_version`], for all who watch: the webhook is asked once for them.
    ///
    /// # Errors
    /// The same.
    pub(crate) async fn watched_in_version(&self, row: &Resource, stored: &Stored) -> Result<Stored, ApiError> {
        let Some(hook) = self.registry().hook(row) else {
            return Ok(stored.clone());
        };
        let cell = hook.shared.cell(stored, &row.api_version());
        let converted = cell.get_or_try_init(|| async {
            let converted = self.one_in_version(row, stored).await?;
            Ok(converted.into_owned())
        });
        converted.await.cloned()
    }

    /// Whether a webhook may have to convert what the row shows.
    pub(crate) fn is_converted(&self, row: &Resource) -> bool {
        self.registry().hook(row).is_some()
    }

    /// An object of the row as it is to be stored, if a webhook has to convert it for that.
    ///
    /// # Errors
    /// [`ApiError::Conversion`] when the webhook does not convert it.
    pub(super) async fn kept(&self, row: &Resource, object: &Value) -> Result<Option<Kept>, ApiError> {
        let storage = self.registry().storage_row(row);
        let storage = storage.filter(|storage| storage.version != row.version);
        let Some((hook, storage)) = self.registry().hook(row).zip(storage) else {
            return Ok(None);
        };
        let mut asked = object.clone();
        let revision = object::metadata_mut(&mut asked).remove("resourceVersion");
        let mut kept = self.one(&hook, &storage.api_version(), asked).await?;
        if let Some(custom) = storage.custom {
            custom.prune(&mut kept);
        }
        let bytes = object::encode(&kept);
        if let Some(custom) = storage.custom {
            custom.apply_defaults(&mut kept);
        }
        let mut shown = self.one(&hook, &row.api_version(), kept).await?;
        object::show_as(row, &mut shown);
        if let Some(revision) = revision {
            object::metadata_mut(&mut shown).insert("resourceVersion".to_owned(), revision);
        }
        Ok(Some(Kept { bytes, shown }))
    }

    /// Objects of one row in the form of another one of the same collection.
    ///
    /// # Errors
    /// [`ApiError::Conversion`] when a webhook has to convert them and does not.
    pub(super) async fn in_form_of(
        &self,
        (from, to): (&Resource, &Resource),
        objects: Vec<Value>,
    ) -> Result<Vec<Value>, ApiError> {
        let hook = self.registry().hook(from).filter(|_| from.version != to.version);
        let Some(hook) = hook else {
            return Ok(objects);
        };
        let revisions: Vec<Option<Value>> = objects
            .iter()
            .map(|object| object["metadata"].get("resourceVersion").cloned())
            .collect();
        let mut converted = self.ask_to_convert(&hook, &to.api_version(), &objects).await?;
        for (object, revision) in converted.iter_mut().zip(revisions) {
            object::show_as(to, object);
            if let Some(revision) = revision {
                object::metadata_mut(object).insert("resourceVersion".to_owned(), revision);
            }
        }
        Ok(converted)
    }

    /// The object as its version shows it, whether or not that is still served.
    fn as_it_was_kept(&self, row: &Resource, stored: &Stored) -> Result<Value, ApiError> {
        let mut object: Value =
            serde_json::from_slice(&stored.value).map_err(|source| object::corrupt(&stored.key, source))?;
        let api_version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
        let form = self.registry().form(row, &api_version);
        if let Some(custom) = form.and_then(|form| form.custom) {
            custom.show(&api_version, &mut object);
        }
        Ok(object)
    }

    async fn one(&self, hook: &Hook, api_version: &str, object: Value) -> Result<Value, ApiError> {
        let mut converted = self.ask_to_convert(hook, api_version, &[object]).await?;
        Ok(converted.swap_remove(0))
    }

    /// What the webhook makes of these objects in another version: as many, in their order.
    async fn ask_to_convert(&self, hook: &Hook, api_version: &str, objects: &[Value]) -> Result<Vec<Value>, ApiError> {
        let Some(first) = objects.first() else {
            return Ok(Vec::new());
        };
        let uid = Uuid::new_v4().to_string();
        let answer = self.post_review(hook, hook.review(&uid, api_version, objects)).await;
        let converted = answer
            .map_err(Fault::NoAnswer)
            .and_then(|answer| hook.read(&uid, api_version, objects, &answer));
        converted.map_err(|fault| ApiError::Conversion(fault.message(first)))
    }

    /// Boxed, since the way to a webhook leads through services, which are read as everything is.
    fn post_review<'e>(&'e self, hook: &'e Hook, document: Vec<u8>) -> BoxFuture<'e, Result<Bytes, String>> {
        Box::pin(async move {
            let destination = hook.destination().map_err(str::to_owned)?;
            let nodes = self.nodes().ok_or("the server is not ready to call webhooks")?;
            reach::post(self, &nodes, destination, document, TIMEOUT).await
        })
    }
}
