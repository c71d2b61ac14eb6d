//! The engine as the driver's hands: each step is a request of the engine, each refusal stale or failed.

use api::{
    Kind,
    resource::{self, Resource},
};
use reconcile::Removal;

use super::{
    carry::{Hands, StepError, Written},
    steps::{Part, Step},
};
use crate::{
    engine::{
        ApiError, Caller, DeleteOptions, Deleted, Engine, Patch, Propagation, SERVER_MANAGER, WriteOptions, object,
    },
    store::{CommitError, Revision},
};

impl Hands for Engine {
    async fn perform(&self, planner: &'static str, step: Step) -> Result<Written, StepError> {
        let caller = Caller::system(&format!("system:controller:{planner}"));
        let options = WriteOptions::by(SERVER_MANAGER);
        let written = match step {
            Step::Create {
                kind,
                namespace,
                object,
            } => {
                self.create(&caller, resource_of(kind), &namespace, object, &options)
                    .await
            }
            Step::Patch { key, part, patch } => {
                if part == Part::Finalize {
                    // The planner knows of no contents any more, but it does not know every kind.
                    let left = self.empty_namespace(&caller, &key.name).await.map_err(refusal)?;
                    if !left.is_empty() {
                        let left = left.join(", ");
                        return Err(StepError::Failed(format!("Some resources are remaining: {left}")));
                    }
                }
                let subresource = match part {
                    Part::Main => None,
                    Part::Status => Some("status"),
                    Part::Finalize => Some("finalize"),
                };
                let patch = Patch::Merge(patch);
                let resource = resource_of(key.kind);
                self.patch(
                    &caller,
                    resource,
                    &key.namespace,
                    &key.name,
                    subresource,
                    patch,
                    &options,
                )
                .await
            }
            Step::Delete { key, uid, how } => {
                let options = DeleteOptions {
                    uid: Some(uid),
                    grace_period_s: match how {
                        Removal::Now => Some(0),
                        Removal::Graceful | Removal::Foreground => None,
                    },
                    propagation: Some(match how {
                        Removal::Foreground => Propagation::Foreground,
                        Removal::Graceful | Removal::Now => Propagation::Background,
                    }),
                    ..DeleteOptions::default()
                };
                let deleted = self
                    .delete(&caller, resource_of(key.kind), &key.namespace, &key.name, options)
                    .await;
                match deleted {
                    Ok(Deleted::Gone(last) | Deleted::Pending(last)) => Ok(last),
                    // Gone, or another object has its name by now: either way this one is gone.
                    Err(ApiError::NotFound(_) | ApiError::Conflict { .. }) => return Ok(Written::Nothing),
                    Err(error) => Err(error),
                }
            }
            Step::Bind { pod, uid, node } => self.bind(&caller, &pod.namespace, &pod.name, Some(&uid), &node).await,
        };
        match written {
            Ok(object) => Ok(object::revision(&object).map_or(Written::Nothing, Written::At)),
            Err(error) => Err(refusal(error)),
        }
    }

    fn revision(&self) -> Revision {
        self.store().revision()
    }
}

/// The row of a kind that planners know.
pub(crate) fn resource_of(kind: Kind) -> &'static Resource {
    resource::by_kind(kind.group(), kind.version(), kind.name()).expect("the API serves every kind that planners know")
}

fn refusal(error: ApiError) -> StepError {
    match error {
        ApiError::NotFound(_) | ApiError::AlreadyExists(_) | ApiError::Conflict { .. } | ApiError::Contention(_) => {
            StepError::Stale(error.to_string())
        }
        ApiError::Commit(ref cause) if matches!(**cause, CommitError::Conflict { .. }) => {
            StepError::Stale(error.to_string())
        }
        _ => StepError::Failed(error.to_string()),
    }
}
