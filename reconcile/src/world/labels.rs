//! Two inverted indices: from a label to the objects that carry it, and from labels to the selectors they may satisfy.
//!
//! Both answer candidates within one namespace; the caller still compares the whole selector. Their point is the size
//! of the answer: of a selector's labels the rarest one is asked, so that fifty thousand services that share
//! `part-of: mesh` cost a lookup, not a scan.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::ObjectKey;

type Labels = BTreeMap<String, String>;

/// Label pair, in a namespace, to the keys that carry it.
#[derive(Debug, Clone, Default)]
pub(super) struct LabelIndex {
    buckets: HashMap<String, BTreeSet<ObjectKey>>,
}

impl LabelIndex {
    pub(super) fn insert(&mut self, key: &ObjectKey, labels: Option<&Labels>) {
        for (name, value) in labels.into_iter().flatten() {
            self.buckets
                .entry(bucket(&key.namespace, name, value))
                .or_default()
                .insert(key.clone());
        }
    }

    pub(super) fn remove(&mut self, key: &ObjectKey, labels: Option<&Labels>) {
        for (name, value) in labels.into_iter().flatten() {
            remove(&mut self.buckets, &bucket(&key.namespace, name, value), key);
        }
    }

    /// The keys that carry this pair, in order.
    pub(super) fn with(&self, namespace: &str, name: &str, value: &str) -> impl Iterator<Item = &ObjectKey> + use<'_> {
        self.buckets.get(&bucket(namespace, name, value)).into_iter().flatten()
    }

    /// The smallest set that holds every key with all of these labels; `None` when there are none to ask by.
    pub(super) fn candidates(&self, namespace: &str, wanted: &Labels) -> Option<Vec<&ObjectKey>> {
        let mut best: Option<Option<&BTreeSet<ObjectKey>>> = None;
        for (name, value) in wanted {
            let found = self.buckets.get(&bucket(namespace, name, value));
            let size = found.map_or(0, BTreeSet::len);
            if best.is_none_or(|best| size < best.map_or(0, BTreeSet::len)) {
                best = Some(found);
            }
        }
        best.map(|set| set.into_iter().flatten().collect())
    }
}

/// Which selectors a set of labels may satisfy. Each selector is filed under one of its pairs.
#[derive(Debug, Clone, Default)]
pub(super) struct SelectorIndex {
    /// Under the pair that had the fewest selectors when this one came.
    buckets: HashMap<String, BTreeSet<ObjectKey>>,
    /// Selectors without a pair that must match: they are candidates for every object of their namespace.
    unfiled: HashMap<String, BTreeSet<ObjectKey>>,
    filed_under: HashMap<ObjectKey, String>,
}

impl SelectorIndex {
    pub(super) fn insert(&mut self, key: &ObjectKey, pairs: Option<&Labels>) {
        let rarest = pairs
            .into_iter()
            .flatten()
            .map(|(name, value)| bucket(&key.namespace, name, value))
            .min_by_key(|at| self.buckets.get(at).map_or(0, BTreeSet::len));
        match rarest {
            Some(at) => {
                self.buckets.entry(at.clone()).or_default().insert(key.clone());
                self.filed_under.insert(key.clone(), at);
            }
            None => {
                self.unfiled
                    .entry(key.namespace.clone())
                    .or_default()
                    .insert(key.clone());
            }
        }
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) {
        match self.filed_under.remove(key) {
            Some(at) => remove(&mut self.buckets, &at, key),
            None => remove(&mut self.unfiled, &key.namespace, key),
        }
    }

    /// The selectors that these labels may satisfy.
    pub(super) fn candidates<'a>(
        &'a self,
        namespace: &'a str,
        labels: Option<&'a Labels>,
    ) -> impl Iterator<Item = &'a ObjectKey> {
        labels
            .into_iter()
            .flatten()
            .filter_map(move |(name, value)| self.buckets.get(&bucket(namespace, name, value)))
            .flatten()
            .chain(self.unfiled.get(namespace).into_iter().flatten())
    }
}

/// Zero bytes cannot occur in namespaces and labels, so the parts cannot run into each other.
fn bucket(namespace: &str, name: &str, value: &str) -> String {
    format!("{namespace}\0{name}\0{value}")
}

fn remove(buckets: &mut HashMap<String, BTreeSet<ObjectKey>>, at: &str, key: &ObjectKey) {
    if let Some(keys) = buckets.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            buckets.remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
