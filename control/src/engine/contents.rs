//! What a namespace still holds of kinds that planners do not decode: custom ones, and built-in ones without a
//! controller. The namespace planner empties a namespace of the others, and asks for this last.

use std::collections::BTreeSet;

use api::Kind;

use super::{ApiError, Caller, DeleteOptions, Engine};
use crate::store::ListRequest;

/// Objects of one kind deleted at once; the rest follow when these are gone.
const DELETIONS_MAX: usize = 500;

impl Engine {
    /// Deletes what is left in a namespace of kinds that planners do not decode; answers what is still there, as
    /// `widgets.example.com has 2 resource instances`.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn empty_namespace(&self, caller: &Caller, namespace: &str) -> Result<Vec<String>, ApiError> {
        let kinds = self.registry().kinds();
        let mut seen: BTreeSet<String> = Kind::ALL.iter().map(|kind| kind.collection()).collect();
        let mut left = Vec::new();
        for row in kinds.rows().iter().filter(|row| row.is_namespaced()) {
            let collection = row.collection();
            if !seen.insert(collection.clone()) {
                continue;
            }
            let request = ListRequest {
                collection,
                namespace: Some(namespace.to_owned()),
                limit: Some(DELETIONS_MAX),
                ..ListRequest::default()
            };
            let store = self.store();
            // In the version that they are stored in: nobody has to convert what goes.
            let stored_row = self.registry().storage_row(row).unwrap_or(row);
            for item in store.list(&request).map_err(ApiError::Read)?.items {
                let deletion = self.delete(caller, stored_row, namespace, &item.key.name, DeleteOptions::default());
                match deletion.await {
                    Ok(_) | Err(ApiError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let count = store.list(&request).map_err(ApiError::Read)?.items.len();
            if count > 0 {
                left.push(format!("{} has {count} resource instances", row.qualified()));
            }
        }
        Ok(left)
    }
}
