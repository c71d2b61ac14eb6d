//! The objects that admission decides by, found without a look at the store. Pure: folds versions of objects.
//!
//! Decoded once, when they change; a cluster without them costs a creation nothing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::Value;

use crate::followed::Fold;

/// The kinds that admission decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    IngressClass,
    LimitRange,
    Namespace,
    PriorityClass,
    ResourceQuota,
    RuntimeClass,
    StorageClass,
}

/// By name.
type Named = BTreeMap<String, Arc<Value>>;

/// All objects of these kinds, with their `resourceVersion`.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// By kind and namespace; empty for cluster scope.
    objects: HashMap<(Part, String), Named>,
}

impl Fold for Index {
    type Part = Part;
    const PARTS: &'static [Part] = &[
        Part::IngressClass,
        Part::LimitRange,
        Part::Namespace,
        Part::PriorityClass,
        Part::ResourceQuota,
        Part::RuntimeClass,
        Part::StorageClass,
    ];

    fn collection(part: Part) -> &'static str {
        match part {
            Part::IngressClass => "networking.k8s.io/ingressclasses",
            Part::LimitRange => "limitranges",
            Part::Namespace => "namespaces",
            Part::PriorityClass => "scheduling.k8s.io/priorityclasses",
            Part::ResourceQuota => "resourcequotas",
            Part::RuntimeClass => "node.k8s.io/runtimeclasses",
            Part::StorageClass => "storage.k8s.io/storageclasses",
        }
    }

    fn fold(&mut self, part: Part, namespace: &str, name: &str, object: Option<&Value>) {
        let key = (part, namespace.to_owned());
        if let Some(object) = object {
            let named = self.objects.entry(key).or_default();
            named.insert(name.to_owned(), Arc::new(object.clone()));
        } else if let Some(named) = self.objects.get_mut(&key) {
            named.remove(name);
            if named.is_empty() {
                self.objects.remove(&key);
            }
        }
    }
}

impl Index {
    /// The objects of a kind in a namespace (empty for cluster scope), by name.
    pub(crate) fn all(&self, part: Part, namespace: &str) -> Vec<Arc<Value>> {
        let named = self.objects.get(&(part, namespace.to_owned()));
        named.into_iter().flat_map(Named::values).cloned().collect()
    }

    /// The object of this name.
    pub(crate) fn get(&self, part: Part, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.objects.get(&(part, namespace.to_owned()))?.get(name).cloned()
    }
}
