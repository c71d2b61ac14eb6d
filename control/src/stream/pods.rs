//! Which pods are on which node, and which config maps and secrets they use. Pure.
//!
//! A node is told the objects its pods reference and no others: a stolen node can read no more than that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::{
    Kind, ObjectKey,
    k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume},
};

/// What a pod change means for nodes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PodChange {
    /// The node it was on and is not any more, with the pod's uid and what else the node needs no longer.
    pub(super) left: Option<Left>,
    /// The node it is on.
    pub(super) on: Option<On>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) node: String,
    pub(super) uid: String,
    pub(super) unused: Vec<ObjectKey>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct On {
    pub(super) node: String,
    /// Referenced by this pod and by no other of the node before.
    pub(super) newly_used: Vec<ObjectKey>,
    /// Not referenced on this node any more.
    pub(super) unused: Vec<ObjectKey>,
}

#[derive(Debug)]
struct Placed {
    node: String,
    uid: String,
    references: BTreeSet<ObjectKey>,
}

/// Pods by node, and users by reference.
#[derive(Debug, Default)]
pub(super) struct PodIndex {
    placed: BTreeMap<ObjectKey, Placed>,
    by_node: HashMap<String, BTreeSet<ObjectKey>>,
    /// Reference to node to number of pods.
    users: HashMap<ObjectKey, BTreeMap<String, usize>>,
}

impl PodIndex {
    /// A pod came, changed or went.
    pub(super) fn changed(&mut self, key: &ObjectKey, pod: Option<&Pod>) -> PodChange {
        let after = pod.and_then(|pod| {
            let spec = pod.spec.as_ref()?;
            Some(Placed {
                node: spec.node_name.clone().filter(|node| !node.is_empty())?,
                uid: pod.metadata.uid.clone().unwrap_or_default(),
                references: references(&key.namespace, spec),
            })
        });
        let mut change = PodChange::default();
        let before = self.placed.remove(key);
        // First the new references, so that what both versions use never looks unused.
        if let Some(after) = &after {
            let newly_used = after
                .references
                .iter()
                .filter(|reference| self.add_user(reference, &after.node))
                .cloned()
                .collect();
            change.on = Some(On {
                node: after.node.clone(),
                newly_used,
                unused: Vec::new(),
            });
            self.by_node.entry(after.node.clone()).or_default().insert(key.clone());
        }
        if let Some(before) = before {
            let unused: Vec<ObjectKey> = before
                .references
                .into_iter()
                .filter(|reference| self.drop_user(reference, &before.node))
                .collect();
            match (&mut change.on, &after) {
                (Some(on), Some(after)) if after.node == before.node && after.uid == before.uid => on.unused = unused,
                _ => {
                    if after.as_ref().is_none_or(|after| after.node != before.node) {
                        self.leave(key, &before.node);
                    }
                    change.left = Some(Left {
                        node: before.node,
                        uid: before.uid,
                        unused,
                    });
                }
            }
        }
        if let Some(after) = after {
            self.placed.insert(key.clone(), after);
        }
        change
    }

    /// The pods on a node.
    pub(super) fn on(&self, node: &str) -> impl Iterator<Item = &ObjectKey> {
        self.by_node.get(node).into_iter().flatten()
    }

    /// What the pods of a node reference.
    pub(super) fn referenced_on(&self, node: &str) -> BTreeSet<&ObjectKey> {
        self.on(node)
            .filter_map(|key| self.placed.get(key))
            .flat_map(|placed| &placed.references)
            .collect()
    }

    /// The nodes whose pods reference an object.
    pub(super) fn users(&self, reference: &ObjectKey) -> impl Iterator<Item = &str> {
        self.users
            .get(reference)
            .into_iter()
            .flat_map(|nodes| nodes.keys().map(String::as_str))
    }

    fn leave(&mut self, key: &ObjectKey, node: &str) {
        if let Some(pods) = self.by_node.get_mut(node) {
            pods.remove(key);
            if pods.is_empty() {
                self.by_node.remove(node);
            }
        }
    }

    /// True if it is the node's first user of it.
    fn add_user(&mut self, reference: &ObjectKey, node: &str) -> bool {
        let nodes = self.users.entry(reference.clone()).or_default();
        let count = nodes.entry(node.to_owned()).or_default();
        *count += 1;
        *count == 1
    }

    /// True if the node has no user of it left.
    fn drop_user(&mut self, reference: &ObjectKey, node: &str) -> bool {
        let Some(nodes) = self.users.get_mut(reference) else {
            return true;
        };
        let Some(count) = nodes.get_mut(node) else { return true };
        *count -= 1;
        if *count > 0 {
            return false;
        }
        nodes.remove(node);
        if nodes.is_empty() {
            self.users.remove(reference);
        }
        true
    }
}

/// The config maps and secrets that a pod names.
fn references(namespace: &str, spec: &PodSpec) -> BTreeSet<ObjectKey> {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let config_map = |name: &str| ObjectKey::new(Kind::ConfigMap, namespace, name);
    let secret = |name: &str| ObjectKey::new(Kind::Secret, namespace, name);
    let mut found = BTreeSet::new();
    for pull in spec.image_pull_secrets.iter().flatten() {
        found.insert(secret(&pull.name));
    }
    for container in containers {
        found.extend(container_references(container, &config_map, &secret));
    }
    for volume in spec.volumes.iter().flatten() {
        found.extend(volume_references(volume, &config_map, &secret));
    }
    found.retain(|key| !key.name.is_empty());
    found
}

fn container_references(
    container: &Container,
    config_map: &impl Fn(&str) -> ObjectKey,
    secret: &impl Fn(&str) -> ObjectKey,
) -> Vec<ObjectKey> {
    let mut found = Vec::new();
    for from in container.env_from.iter().flatten() {
        found.extend(from.config_map_ref.iter().map(|source| config_map(&source.name)));
        found.extend(from.secret_ref.iter().map(|source| secret(&source.name)));
    }
    for source in container.env.iter().flatten().filter_map(|env| env.value_from.as_ref()) {
        found.extend(source.config_map_key_ref.iter().map(|key| config_map(&key.name)));
        found.extend(source.secret_key_ref.iter().map(|key| secret(&key.name)));
    }
    found
}

fn volume_references(
    volume: &Volume,
    config_map: &impl Fn(&str) -> ObjectKey,
    secret: &impl Fn(&str) -> ObjectKey,
) -> Vec<ObjectKey> {
    let mut found = Vec::new();
    found.extend(volume.config_map.iter().map(|source| config_map(&source.name)));
    let name = volume.secret.as_ref().and_then(|source| source.secret_name.as_deref());
    found.extend(name.map(secret));
    let projected = volume
        .projected
        .iter()
        .flat_map(|projected| projected.sources.iter().flatten());
    for source in projected {
        found.extend(source.config_map.iter().map(|source| config_map(&source.name)));
        found.extend(source.secret.iter().map(|source| secret(&source.name)));
    }
    found
}

#[cfg(test)]
mod tests;
