//! The cluster as planners see it: every object of the known kinds, indexed the ways that plans ask for.
//!
//! Kept by the driver from the store's watch, and by simulations. Lookups that plans make must not scan all objects:
//! an index belongs here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::{
    Kind, Object, ObjectKey,
    k8s_openapi::{
        api::{
            apps::v1::ReplicaSet,
            core::v1::{Namespace, Pod, Service},
            discovery::v1::EndpointSlice,
        },
        apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
    },
    object::{Scope, Typed},
};

use crate::{facts, matching};

mod labels;
pub mod usage;

use labels::{LabelIndex, SelectorIndex};
use usage::{Footprint, Usage};

/// The label that names the service of an EndpointSlice.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

type Labels = BTreeMap<String, String>;

/// All objects at one revision.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The store revision up to which this world is complete.
    pub revision: u64,
    objects: BTreeMap<ObjectKey, Object>,
    /// Owner uid to the keys of the objects that name it in `metadata.ownerReferences`.
    owned: HashMap<String, BTreeSet<ObjectKey>>,
    /// Uid to key, to find an owner by its uid.
    by_uid: HashMap<String, ObjectKey>,
    /// Node name to the pods bound to it.
    pods_by_node: HashMap<String, BTreeSet<ObjectKey>>,
    /// Pods without a node that are not finished.
    unbound_pods: BTreeSet<ObjectKey>,
    /// Pods whose containers have ended for good.
    finished_pods: BTreeSet<ObjectKey>,
    /// What each bound, unfinished pod takes from its node.
    footprints: HashMap<ObjectKey, Footprint>,
    usage: HashMap<String, Usage>,
    pod_labels: LabelIndex,
    replica_set_labels: LabelIndex,
    slice_labels: LabelIndex,
    service_selectors: SelectorIndex,
    replica_set_selectors: SelectorIndex,
    deployment_selectors: SelectorIndex,
    /// How many objects there are of kinds that planners do not decode, by namespace and collection.
    tallies: HashMap<(String, String), i64>,
}

impl World {
    /// Puts an object in, replacing the one of its key; answers the former version.
    pub fn put(&mut self, object: Object) -> Option<Object> {
        let key = object.key();
        let before = self.remove(&key);
        for owner in object.metadata().owner_references.iter().flatten() {
            self.owned.entry(owner.uid.clone()).or_default().insert(key.clone());
        }
        if !object.uid().is_empty() {
            self.by_uid.insert(object.uid().to_owned(), key.clone());
        }
        let labels = object.metadata().labels.as_ref();
        match &object {
            Object::Pod(pod) => {
                self.pod_labels.insert(&key, labels);
                self.put_pod(&key, pod);
            }
            Object::ReplicaSet(set) => {
                self.replica_set_labels.insert(&key, labels);
                let pairs = set.spec.as_ref().and_then(|spec| spec.selector.match_labels.as_ref());
                self.replica_set_selectors.insert(&key, pairs);
            }
            Object::Deployment(deployment) => {
                let pairs = deployment
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.selector.match_labels.as_ref());
                self.deployment_selectors.insert(&key, pairs);
            }
            Object::EndpointSlice(_) => self.slice_labels.insert(&key, labels),
            Object::Service(service) => {
                if let Some(selector) = service_selector(service) {
                    self.service_selectors.insert(&key, Some(selector));
                }
            }
            Object::Node(_)
            | Object::Namespace(_)
            | Object::ConfigMap(_)
            | Object::Secret(_)
            | Object::ServiceAccount(_)
            | Object::Event(_)
            | Object::PersistentVolume(_)
            | Object::PersistentVolumeClaim(_)
            | Object::ResourceQuota(_)
            | Object::Lease(_)
            | Object::ClusterRole(_)
            | Object::ClusterRoleBinding(_)
            | Object::Role(_)
            | Object::RoleBinding(_) => {}
        }
        self.objects.insert(key, object);
        before
    }

    /// Takes an object out; answers it if it was there.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Object> {
        let object = self.objects.remove(key)?;
        for owner in object.metadata().owner_references.iter().flatten() {
            remove_from(&mut self.owned, &owner.uid, key);
        }
        self.by_uid.remove(object.uid());
        let labels = object.metadata().labels.as_ref();
        match &object {
            Object::Pod(pod) => {
                self.pod_labels.remove(key, labels);
                self.remove_pod(key, pod);
            }
            Object::ReplicaSet(_) => {
                self.replica_set_labels.remove(key, labels);
                self.replica_set_selectors.remove(key);
            }
            Object::Deployment(_) => self.deployment_selectors.remove(key),
            Object::EndpointSlice(_) => self.slice_labels.remove(key, labels),
            Object::Service(service) => {
                if service_selector(service).is_some() {
                    self.service_selectors.remove(key);
                }
            }
            Object::Node(_)
            | Object::Namespace(_)
            | Object::ConfigMap(_)
            | Object::Secret(_)
            | Object::ServiceAccount(_)
            | Object::Event(_)
            | Object::PersistentVolume(_)
            | Object::PersistentVolumeClaim(_)
            | Object::ResourceQuota(_)
            | Object::Lease(_)
            | Object::ClusterRole(_)
            | Object::ClusterRoleBinding(_)
            | Object::Role(_)
            | Object::RoleBinding(_) => {}
        }
        Some(object)
    }

    fn put_pod(&mut self, key: &ObjectKey, pod: &Pod) {
        let node = facts::node_name(pod);
        if let Some(node) = node {
            self.pods_by_node
                .entry(node.to_owned())
                .or_default()
                .insert(key.clone());
        }
        match (facts::is_finished(pod), node) {
            (true, _) => {
                self.finished_pods.insert(key.clone());
            }
            (false, None) => {
                self.unbound_pods.insert(key.clone());
            }
            (false, Some(node)) => {
                let footprint = usage::footprint(pod);
                self.usage.entry(node.to_owned()).or_default().add(&footprint);
                self.footprints.insert(key.clone(), footprint);
            }
        }
    }

    fn remove_pod(&mut self, key: &ObjectKey, pod: &Pod) {
        self.unbound_pods.remove(key);
        self.finished_pods.remove(key);
        let Some(node) = facts::node_name(pod) else {
            return;
        };
        remove_from(&mut self.pods_by_node, node, key);
        let Some(footprint) = self.footprints.remove(key) else {
            return;
        };
        if let Some(usage) = self.usage.get_mut(node) {
            usage.subtract(&footprint);
            if usage.pods == 0 {
                self.usage.remove(node);
            }
        }
    }

    /// Objects of a collection that planners do not decode came (or, with a negative number, went).
    pub fn count(&mut self, namespace: &str, collection: &str, more: i64) {
        let key = (namespace.to_owned(), collection.to_owned());
        let count = self.tallies.entry(key.clone()).or_default();
        *count += more;
        if *count == 0 {
            self.tallies.remove(&key);
        }
    }

    /// How many objects a namespace has of a collection (`apps/deployments`), whether or not planners decode them.
    #[must_use]
    pub fn tally(&self, namespace: &str, collection: &str) -> i64 {
        match collection.parse::<Kind>() {
            Ok(kind) => i64::try_from(self.of_kind_in(kind, namespace).count()).unwrap_or(i64::MAX),
            Err(_) => {
                let key = (namespace.to_owned(), collection.to_owned());
                self.tallies.get(&key).copied().unwrap_or(0)
            }
        }
    }

    /// The object of this key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Object> {
        self.objects.get(key)
    }

    /// The object of this name as its type; pass an empty namespace for cluster scope.
    #[must_use]
    pub fn typed<T: Typed>(&self, namespace: &str, name: &str) -> Option<&T> {
        self.get(&ObjectKey::new(T::KIND, namespace, name))
            .and_then(Object::get)
    }

    /// All objects of a type, by namespace and name.
    pub fn all<'a, T: Typed + 'a>(&'a self) -> impl Iterator<Item = &'a T> {
        self.of_kind(T::KIND).filter_map(Object::get)
    }

    /// All objects of a type in one namespace, by name.
    pub fn in_namespace<'a, 'b, T: Typed + 'a>(
        &'a self,
        namespace: &'b str,
    ) -> impl Iterator<Item = &'a T> + use<'a, 'b, T> {
        self.of_kind_in(T::KIND, namespace).filter_map(Object::get)
    }

    /// All objects of a kind, by namespace and name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.objects
            .range(ObjectKey::new(kind, "", "")..)
            .take_while(move |(key, _)| key.kind == kind)
            .map(|(_, object)| object)
    }

    /// All objects of a kind in one namespace, by name.
    pub fn of_kind_in<'a, 'b>(
        &'a self,
        kind: Kind,
        namespace: &'b str,
    ) -> impl Iterator<Item = &'a Object> + use<'a, 'b> {
        self.objects
            .range(ObjectKey::new(kind, namespace, "")..)
            .take_while(move |(key, _)| key.kind == kind && key.namespace == namespace)
            .map(|(_, object)| object)
    }

    /// Everything in a namespace, by kind and name.
    pub fn contents_of<'a, 'b>(&'a self, namespace: &'b str) -> impl Iterator<Item = &'a Object> + use<'a, 'b> {
        Kind::ALL
            .iter()
            .filter(|kind| kind.scope() == Scope::Namespaced)
            .flat_map(move |kind| self.of_kind_in(*kind, namespace))
    }

    /// The objects that name this uid as an owner, controller or not, by key.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = &Object> + use<'_> {
        self.owned
            .get(uid)
            .into_iter()
            .flatten()
            .filter_map(|key| self.objects.get(key))
    }

    /// The objects of a type that this uid controls, by key.
    pub fn controlled_by<'a, 'b, T: Typed + 'a>(
        &'a self,
        uid: &'b str,
    ) -> impl Iterator<Item = &'a T> + use<'a, 'b, T> {
        self.owned_by(uid)
            .filter(move |object| facts::controller(object.metadata()).is_some_and(|owner| owner.uid == uid))
            .filter_map(Object::get)
    }

    /// The pods bound to this node, by key, in whatever phase.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Pod> + use<'_> {
        self.pods_by_node
            .get(node)
            .into_iter()
            .flatten()
            .filter_map(|key| self.objects.get(key)?.get())
    }

    /// The names of the nodes that pods are bound to, whether or not the nodes exist; in no order.
    pub fn nodes_with_pods(&self) -> impl Iterator<Item = &str> {
        self.pods_by_node.keys().map(String::as_str)
    }

    /// Pods without a node that are not finished, by key.
    pub fn unbound_pods(&self) -> impl ExactSizeIterator<Item = &Pod> {
        self.unbound_pods.iter().map(|key| {
            self.objects
                .get(key)
                .and_then(Object::get)
                .expect("the set holds keys of pods in the world")
        })
    }

    /// Pods whose containers have ended for good, by key.
    pub fn finished_pods(&self) -> impl ExactSizeIterator<Item = &Pod> {
        self.finished_pods.iter().map(|key| {
            self.objects
                .get(key)
                .and_then(Object::get)
                .expect("the set holds keys of pods in the world")
        })
    }

    /// What the pods of this node take together; `None` if it has no unfinished pods.
    #[must_use]
    pub fn usage_of(&self, node: &str) -> Option<&Usage> {
        self.usage.get(node)
    }

    /// The pods with all of these labels, by name. Costs the number of pods with the rarest of the labels.
    pub fn pods_with(&self, namespace: &str, labels: &Labels) -> impl Iterator<Item = &Pod> {
        self.pod_labels
            .candidates(namespace, labels)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|key| self.objects.get(key)?.get::<Pod>())
            .filter(move |pod| matching::has_all(pod.metadata.labels.as_ref(), labels))
    }

    /// The pods that the selector selects, by name. Costs the number of pods with the rarest of its labels, or all
    /// pods of the namespace if it consists of expressions only.
    pub fn pods_selected(&self, namespace: &str, selector: &LabelSelector) -> Vec<&Pod> {
        self.selected(Kind::Pod, &self.pod_labels, namespace, selector)
    }

    /// The ReplicaSets that the selector selects, by name; the cost is that of [`World::pods_selected`].
    pub fn replica_sets_selected(&self, namespace: &str, selector: &LabelSelector) -> Vec<&ReplicaSet> {
        self.selected(Kind::ReplicaSet, &self.replica_set_labels, namespace, selector)
    }

    fn selected<'a, T: Typed>(
        &'a self,
        kind: Kind,
        index: &LabelIndex,
        namespace: &str,
        selector: &LabelSelector,
    ) -> Vec<&'a T> {
        let pairs = selector.match_labels.as_ref();
        let selected = |object: &&Object| matching::selects(selector, object.metadata().labels.as_ref());
        match pairs.and_then(|pairs| index.candidates(namespace, pairs)) {
            Some(candidates) => candidates
                .into_iter()
                .filter_map(|key| self.objects.get(key))
                .filter(selected)
                .filter_map(Object::get)
                .collect(),
            None => self
                .of_kind_in(kind, namespace)
                .filter(selected)
                .filter_map(Object::get)
                .collect(),
        }
    }

    /// The services whose selector these labels satisfy, by no order.
    pub fn services_selecting<'a>(&'a self, metadata: &'a ObjectMeta) -> impl Iterator<Item = &'a Service> {
        let labels = metadata.labels.as_ref();
        self.service_selectors
            .candidates(facts::namespace(metadata), labels)
            .filter_map(|key| self.objects.get(key)?.get::<Service>())
            .filter(move |service| {
                service_selector(service).is_some_and(|selector| matching::has_all(labels, selector))
            })
    }

    /// The keys of the ReplicaSets whose selector these labels satisfy, in no order.
    pub fn replica_sets_selecting<'a>(&'a self, metadata: &'a ObjectMeta) -> impl Iterator<Item = &'a ObjectKey> {
        let labels = metadata.labels.as_ref();
        self.replica_set_selectors
            .candidates(facts::namespace(metadata), labels)
            .filter(move |key| match self.objects.get(*key) {
                Some(Object::ReplicaSet(set)) => set
                    .spec
                    .as_ref()
                    .is_some_and(|spec| matching::selects(&spec.selector, labels)),
                _ => false,
            })
    }

    /// The keys of the Deployments whose selector these labels satisfy, in no order.
    pub fn deployments_selecting<'a>(&'a self, metadata: &'a ObjectMeta) -> impl Iterator<Item = &'a ObjectKey> {
        let labels = metadata.labels.as_ref();
        self.deployment_selectors
            .candidates(facts::namespace(metadata), labels)
            .filter(move |key| match self.objects.get(*key) {
                Some(Object::Deployment(deployment)) => deployment
                    .spec
                    .as_ref()
                    .is_some_and(|spec| matching::selects(&spec.selector, labels)),
                _ => false,
            })
    }

    /// The EndpointSlices of a service, whoever manages them, by name.
    pub fn slices_of(&self, namespace: &str, service: &str) -> impl Iterator<Item = &EndpointSlice> + use<'_> {
        self.slice_labels
            .with(namespace, SERVICE_NAME_LABEL, service)
            .filter_map(|key| self.objects.get(key)?.get())
    }

    /// The object with this uid.
    #[must_use]
    pub fn by_uid(&self, uid: &str) -> Option<&Object> {
        self.get(self.by_uid.get(uid)?)
    }

    /// True while the namespace is being deleted: the API server refuses new objects in it.
    #[must_use]
    pub fn is_closing(&self, namespace: &str) -> bool {
        self.typed::<Namespace>("", namespace)
            .is_some_and(|namespace| facts::is_terminating(&namespace.metadata))
    }
}

/// The selector of a service that has one. An empty selector selects nothing.
pub(crate) fn service_selector(service: &Service) -> Option<&Labels> {
    service
        .spec
        .as_ref()?
        .selector
        .as_ref()
        .filter(|selector| !selector.is_empty())
}

fn remove_from(index: &mut HashMap<String, BTreeSet<ObjectKey>>, at: &str, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
