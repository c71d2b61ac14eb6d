//! The namespace controller: a namespace that is being deleted is emptied, then let go.
//!
//! Pods first: while they stop, the ConfigMaps, Secrets and services they use stay. Then everything else. When nothing
//! is left the finalizer `kubernetes` goes from `spec.finalizers`, and with it the namespace.
//! Source: Kubernetes documentation, namespaces; KEP-5080 (ordered namespace deletion).

use std::collections::BTreeMap;

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::api::core::v1::{Namespace, NamespaceCondition},
};

use crate::{
    facts,
    plan::{Action, Context, Plan, Planner, Removal, Waiting},
    world::World,
};

/// The entry of `spec.finalizers` that stands for the contents.
const FINALIZER: &str = "kubernetes";

/// Objects deleted in one plan; the rest follow when these are gone.
const DELETIONS_PER_PLAN_MAX: usize = 500;

/// Plans namespaces, each by its key.
#[derive(Debug, Default)]
pub(crate) struct Namespaces;

impl Planner for Namespaces {
    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn watches(&self) -> &'static [Kind] {
        Kind::ALL
    }

    fn affected(
        &self,
        world: &World,
        changed: &ObjectKey,
        _before: Option<&Object>,
        _after: Option<&Object>,
    ) -> Vec<ObjectKey> {
        if changed.kind == Kind::Namespace {
            return vec![changed.clone()];
        }
        if !changed.namespace.is_empty() && world.is_closing(&changed.namespace) {
            return vec![ObjectKey::new(Kind::Namespace, "", &changed.namespace)];
        }
        Vec::new()
    }

    fn plan(&self, world: &World, key: &ObjectKey, context: Context) -> Plan {
        let mut plan = Plan::default();
        let Some(namespace) = world.typed::<Namespace>("", &key.name) else {
            return plan;
        };
        if !facts::is_terminating(&namespace.metadata) {
            if phase(namespace).is_none() {
                plan.actions.push(with_phase(namespace, "Active", None));
            }
            return plan;
        }
        let left = Left::count(world, &key.name);
        let conditions = left.conditions(namespace, context);
        let told = namespace.status.as_ref().and_then(|status| status.conditions.as_ref());
        let has_finalizer = namespace
            .spec
            .iter()
            .flat_map(|spec| spec.finalizers.iter().flatten())
            .any(|finalizer| finalizer == FINALIZER);
        plan.actions.extend(deletions(world, &key.name));
        if left.total == 0 {
            if has_finalizer {
                plan.actions.push(finalized(namespace));
            }
            return plan;
        }
        plan.waiting_on.push(Waiting {
            reason: "ContentRemaining",
            message: left.summary(),
            on: world.contents_of(&key.name).next().map(Object::key),
        });
        if phase(namespace) != Some("Terminating") || told != Some(&conditions) {
            plan.actions
                .push(with_phase(namespace, "Terminating", Some(conditions)));
        }
        plan
    }
}

fn phase(namespace: &Namespace) -> Option<&str> {
    namespace.status.as_ref()?.phase.as_deref()
}

/// What may go now: pods, or if there are none, all else that is not going already.
fn deletions(world: &World, namespace: &str) -> Vec<Action> {
    let mut pods = world.of_kind_in(Kind::Pod, namespace).peekable();
    let candidates: Box<dyn Iterator<Item = &Object>> = if pods.peek().is_some() {
        Box::new(pods)
    } else {
        Box::new(world.contents_of(namespace))
    };
    candidates
        .filter(|object| !facts::is_terminating(object.metadata()))
        .take(DELETIONS_PER_PLAN_MAX)
        .map(|object| Action::Delete {
            key: object.key(),
            uid: object.uid().to_owned(),
            how: Removal::Graceful,
        })
        .collect()
}

fn finalized(namespace: &Namespace) -> Action {
    let mut freed = namespace.clone();
    freed
        .spec
        .get_or_insert_default()
        .finalizers
        .get_or_insert_default()
        .retain(|finalizer| finalizer != FINALIZER);
    Action::Update(Box::new(freed.into()))
}

fn with_phase(namespace: &Namespace, phase: &str, conditions: Option<Vec<NamespaceCondition>>) -> Action {
    let mut told = namespace.clone();
    let status = told.status.get_or_insert_default();
    status.phase = Some(phase.to_owned());
    if conditions.is_some() {
        status.conditions = conditions;
    }
    Action::UpdateStatus(Box::new(told.into()))
}

/// What a namespace still holds.
#[derive(Default)]
struct Left {
    total: usize,
    of_kind: BTreeMap<Kind, usize>,
    with_finalizer: BTreeMap<String, usize>,
}

impl Left {
    fn count(world: &World, namespace: &str) -> Left {
        let mut left = Left::default();
        for object in world.contents_of(namespace) {
            left.total += 1;
            *left.of_kind.entry(object.kind()).or_default() += 1;
            for finalizer in object.metadata().finalizers.iter().flatten() {
                *left.with_finalizer.entry(finalizer.clone()).or_default() += 1;
            }
        }
        left
    }

    fn summary(&self) -> String {
        let counts = self.of_kind.iter().map(|(kind, count)| {
            let resource = match kind.group() {
                "" => kind.plural().to_owned(),
                group => format!("{}.{group}", kind.plural()),
            };
            format!("{resource} has {count} resource instances")
        });
        format!(
            "Some resources are remaining: {}",
            counts.collect::<Vec<_>>().join(", ")
        )
    }

    /// The conditions of a namespace in deletion, as Kubernetes words them. Counts are not repeated for each object
    /// that goes: a status write per object would double the work.
    fn conditions(&self, namespace: &Namespace, context: Context) -> Vec<NamespaceCondition> {
        let mut finalizers: Vec<&str> = self.with_finalizer.keys().map(String::as_str).collect();
        finalizers.sort_unstable();
        let kinds: Vec<String> = self.of_kind.keys().map(|kind| kind.plural().to_owned()).collect();
        let rows = [
            (
                "NamespaceDeletionDiscoveryFailure",
                "False",
                "ResourcesDiscovered",
                "All resources successfully discovered".to_owned(),
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                "False",
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed".to_owned(),
            ),
            (
                "NamespaceDeletionContentFailure",
                "False",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization".to_owned(),
            ),
            if self.total == 0 {
                (
                    "NamespaceContentRemaining",
                    "False",
                    "ContentRemoved",
                    "All content successfully removed".to_owned(),
                )
            } else {
                (
                    "NamespaceContentRemaining",
                    "True",
                    "SomeResourcesRemain",
                    format!("Some resources are remaining: {}", kinds.join(", ")),
                )
            },
            if finalizers.is_empty() {
                (
                    "NamespaceFinalizersRemaining",
                    "False",
                    "ContentHasNoFinalizers",
                    "All content-preserving finalizers finished".to_owned(),
                )
            } else {
                (
                    "NamespaceFinalizersRemaining",
                    "True",
                    "SomeFinalizersRemain",
                    format!(
                        "Some content in the namespace has finalizers remaining: {}",
                        finalizers.join(", ")
                    ),
                )
            },
        ];
        let told = namespace
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref());
        rows.into_iter()
            .map(|(type_, status, reason, message)| {
                let before = told.and_then(|told| told.iter().find(|before| before.type_ == type_));
                NamespaceCondition {
                    type_: type_.to_owned(),
                    status: status.to_owned(),
                    reason: Some(reason.to_owned()),
                    message: Some(message),
                    last_transition_time: match before {
                        Some(before) if before.status == status => before.last_transition_time.clone(),
                        _ => Some(facts::stamp(context.now)),
                    },
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
