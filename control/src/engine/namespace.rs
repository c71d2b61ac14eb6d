//! What a namespace holds beyond the kinds that planners know.
//!
//! Never here: the other kinds, which the namespace planner empties.

use api::{
    Kind,
    resource::{Resource, resources},
};

use super::{ApiError, Caller, DeleteOptions, Engine, ListOptions, Target, WriteOptions, create, object};

impl Engine {
    /// Deletes what is left in a namespace that is about to lose its finalizer, of all kinds that no planner sees. A
    /// namespace that is not being deleted keeps what it has.
    ///
    /// # Errors
    /// `Conflict` while something waits for finalizers of its own: the caller finalizes the namespace again later.
    pub(super) async fn empty_namespace(&self, name: &str, options: &WriteOptions) -> Result<(), ApiError> {
        if !object::is_terminating(&self.get(create::namespaces(), "", name)?) {
            return Ok(());
        }
        let caller = Caller::system("system:controller:namespace-controller");
        let mut waiting = Vec::new();
        for resource in resources().iter().filter(|row| is_unplanned(row)) {
            let left = |namespace: &str| ListOptions {
                namespace: namespace.to_owned(),
                ..ListOptions::default()
            };
            for item in self.list(resource, &left(name)).await?.items {
                let deletion = DeleteOptions {
                    dry_run: options.dry_run,
                    ..DeleteOptions::default()
                };
                match self.delete(&caller, resource, name, &item.key.name, deletion).await {
                    Ok(_) | Err(ApiError::NotFound(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            let left = self.list(resource, &left(name)).await?.items.len();
            if left > 0 {
                waiting.push(format!("{left} {}", resource.qualified()));
            }
        }
        if !waiting.is_empty() && !options.dry_run {
            return Err(ApiError::Conflict {
                target: Target::new(create::namespaces(), name),
                detail: format!("waiting for the finalizers of {}", waiting.join(", ")),
            });
        }
        Ok(())
    }
}

fn is_unplanned(row: &Resource) -> bool {
    row.is_namespaced()
        && row.stored_as.is_none()
        && row.verbs.contains(&"delete")
        && row.collection().parse::<Kind>().is_err()
}
