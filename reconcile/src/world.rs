//! The cluster as planners see it: every object of the known kinds, indexed the ways that plans ask for.
//!
//! Kept by the driver from the store's watch, and by simulations. Lookups that plans make must not scan all objects:
//! an index belongs here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::{Kind, Object, ObjectKey, object::Typed};

/// All objects at one revision.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// The store revision up to which this world is complete.
    pub revision: u64,
    objects: BTreeMap<ObjectKey, Object>,
    /// Owner uid to the keys of the objects that name it in `metadata.ownerReferences`.
    owned: HashMap<String, BTreeSet<ObjectKey>>,
    /// Node name to the pods bound to it.
    pods_by_node: HashMap<String, BTreeSet<ObjectKey>>,
    /// Uid to key, to find an owner by its uid.
    by_uid: HashMap<String, ObjectKey>,
}

impl World {
    /// Puts an object in, replacing the one of its key; answers the former version.
    pub fn put(&mut self, object: Object) -> Option<Object> {
        let key = object.key();
        let before = self.remove(&key);
        for owner in object.metadata().owner_references.iter().flatten() {
            self.owned.entry(owner.uid.clone()).or_default().insert(key.clone());
        }
        if let Some(node) = bound_node(&object) {
            self.pods_by_node
                .entry(node.to_owned())
                .or_default()
                .insert(key.clone());
        }
        if !object.uid().is_empty() {
            self.by_uid.insert(object.uid().to_owned(), key.clone());
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
        if let Some(node) = bound_node(&object) {
            remove_from(&mut self.pods_by_node, node, key);
        }
        self.by_uid.remove(object.uid());
        Some(object)
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
    pub fn in_namespace<'a, T: Typed + 'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a T> {
        self.objects
            .range(ObjectKey::new(T::KIND, namespace, "")..)
            .take_while(move |(key, _)| key.kind == T::KIND && key.namespace == namespace)
            .filter_map(|(_, object)| object.get())
    }

    /// All objects of a kind, by namespace and name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.objects
            .range(ObjectKey::new(kind, "", "")..)
            .take_while(move |(key, _)| key.kind == kind)
            .map(|(_, object)| object)
    }

    /// The objects that name this uid as an owner, controller or not, by key.
    pub fn owned_by(&self, uid: &str) -> impl Iterator<Item = &Object> {
        self.owned
            .get(uid)
            .into_iter()
            .flatten()
            .filter_map(|key| self.objects.get(key))
    }

    /// The pods bound to this node, by key, in whatever phase.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &api::k8s_openapi::api::core::v1::Pod> {
        self.pods_by_node
            .get(node)
            .into_iter()
            .flatten()
            .filter_map(|key| self.objects.get(key)?.get())
    }

    /// The object with this uid.
    #[must_use]
    pub fn by_uid(&self, uid: &str) -> Option<&Object> {
        self.get(self.by_uid.get(uid)?)
    }
}

fn bound_node(object: &Object) -> Option<&str> {
    match object {
        Object::Pod(pod) => pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty()),
        _ => None,
    }
}

fn remove_from(index: &mut HashMap<String, BTreeSet<ObjectKey>>, at: &str, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(at);
        }
    }
}
