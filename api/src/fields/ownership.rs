//! What a write does to the ownership of fields, and what applying a configuration does to an object.

use std::{fmt, sync::LazyLock};

use serde_json::{Map, Value};

use super::{
    compare::compare,
    extract::fields_in,
    last_applied,
    managers::{Entry, Managers, Operation},
    merge::merge,
    place::Place,
    remove::remove,
    set::{FieldSet, Path},
};

/// The manager of what objects without managers hold when they are first applied to.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The manager without a name.
const UNKNOWN: &str = "unknown";
/// Fields that nobody owns: what identifies an object, and what the server keeps about it.
const UNOWNED: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
    &["f:metadata", "f:clusterName"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:resourceVersion"],
];

/// Which fields a path of the API writes, by their first step; what else differs is undone later and changes no owner.
#[derive(Debug, Clone, Copy)]
pub enum Filter<'a> {
    /// All but these fields of the object.
    Except(&'a [&'a str]),
    /// Only these fields of the object.
    Only(&'a [&'a str]),
}

impl Filter<'_> {
    fn apply(self, set: FieldSet) -> FieldSet {
        if set.is_empty() {
            return set;
        }
        let named = |step: &str, names: &[&str]| step.strip_prefix("f:").is_some_and(|name| names.contains(&name));
        match self {
            Filter::Except([]) => set,
            Filter::Except(names) => set.retain(|step| !named(step, names)),
            Filter::Only(names) => set.retain(|step| named(step, names)),
        }
    }
}

/// Who writes, and through which path.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// Name of the manager; empty if not known.
    pub manager: &'a str,
    /// Version in which it writes.
    pub api_version: &'a str,
    /// Part of the object's path; empty for the object itself.
    pub subresource: &'a str,
    /// What the path writes.
    pub filter: Filter<'a>,
    /// Now, RFC 3339 in whole seconds.
    pub now: &'a str,
}

impl Writer<'_> {
    fn entry(&self, operation: Operation, fields: FieldSet) -> Entry {
        let manager = if self.manager.is_empty() { UNKNOWN } else { self.manager };
        Entry {
            manager: manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            time: self.now.to_owned(),
            subresource: self.subresource.to_owned(),
            fields,
        }
    }
}

/// One field that another manager owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Who, as messages name it: `"kubectl" using apps/v1`.
    pub manager: String,
    /// Which field.
    pub path: Path,
}

/// Everything that keeps a configuration from being applied; never empty. Displays as the message to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return write!(
                f,
                "Apply failed with 1 conflict: conflict with {}: {}",
                only.manager, only.path
            );
        }
        write!(f, "Apply failed with {} conflicts: ", self.0.len())?;
        let mut last: Option<&str> = None;
        for conflict in &self.0 {
            if last != Some(conflict.manager.as_str()) {
                let newline = if last.is_some() { "\n" } else { "" };
                write!(f, "{newline}conflicts with {}:", conflict.manager)?;
                last = Some(&conflict.manager);
            }
            write!(f, "\n- {}", conflict.path)?;
        }
        Ok(())
    }
}

/// What applying came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object, without managedFields.
    pub object: Value,
    /// Who owns what now.
    pub managers: Managers,
}

/// Who owns what after a write that is no apply: the writer owns what it set, and nobody what it took out. The entries
/// stay as they are, times included, if nothing changes hands. `old` is empty for a creation; `managers` are those
/// that the object has or that the client wrote into it.
///
/// An object that exists and has no managers stays without: somebody asked for that.
#[must_use]
pub fn track<P: Place>(place: P, old: &Value, new: &Value, mut managers: Managers, writer: &Writer<'_>) -> Managers {
    let exists = old.pointer("/metadata/uid").is_some();
    if managers.0.is_empty() && exists {
        return managers;
    }
    let change = compare(place, old, new);
    if change.is_same() {
        return managers;
    }
    let set = change.set();
    let (set, removed) = (writer.filter.apply(set), writer.filter.apply(change.removed));
    managers.take_from_all(&set, &removed);
    let own = set.difference(unowned());
    if own.is_empty() {
        return managers;
    }
    let entry = writer.entry(Operation::Update, own);
    match managers.position(&entry) {
        Some(index) => {
            let known = &mut managers.0[index];
            known.fields = known.fields.union(&entry.fields);
            known.time = entry.time;
        }
        None => managers.0.push(entry),
    }
    managers.cap();
    managers
}

/// What an applier states.
#[derive(Debug, Clone, Copy)]
pub struct Configuration<'a> {
    /// All that it states of the object.
    pub object: &'a Value,
    /// The fields that this names, see [`super::extract`].
    pub fields: &'a FieldSet,
    /// Whether fields that others own with other values are taken over.
    pub force: bool,
}

/// Applies a configuration: merges it into `live`, without what the manager stated before and states no more, unless
/// somebody else owns that too. `finish` brings the merged object into the form that is stored, so that two ways to
/// write one value are no conflict. `live` is without managedFields, and empty for a creation.
///
/// # Errors
/// The fields that others own with other values, unless the configuration is forced.
pub fn apply<P: Place>(
    place: P,
    live: &Value,
    mut managers: Managers,
    config: Configuration<'_>,
    writer: &Writer<'_>,
    finish: impl Fn(&mut Value),
) -> Result<Applied, Conflicts> {
    if managers.0.is_empty() && live.pointer("/metadata/uid").is_some() {
        let before = Writer {
            manager: BEFORE_FIRST_APPLY,
            ..*writer
        };
        managers = track(place, &Value::Object(Map::new()), live, managers, &before);
    }
    let mut own = writer.entry(Operation::Apply, writer.filter.apply(config.fields.clone()));
    let last = managers.position(&own).map(|index| managers.0.swap_remove(index));
    let mut object = merge(place, live, config.object);
    if let Some(last) = &last {
        object = prune(place, object, last, &own, &managers);
    }
    finish(&mut object);
    let change = compare(place, live, &object);
    let set = writer.filter.apply(change.set());
    let removed = writer.filter.apply(change.removed.clone());
    let conflicts = managers.conflicts(&set);
    if !conflicts.is_empty() && !config.force {
        let left = without_last_applied(place, live, conflicts, writer);
        if !left.is_empty() {
            return Err(Conflicts(left));
        }
    }
    managers.take_from_all(&set, &removed);
    own.fields = own.fields.difference(unowned());
    if let Some(last) = last.filter(|last| change.is_same() && last.fields == own.fields) {
        own.time = last.time;
    }
    if !own.fields.is_empty() {
        managers.0.push(own);
    }
    last_applied::sync(&mut object, config.object, writer.manager);
    Ok(Applied { object, managers })
}

/// The merged object without what the manager stated last, states no more and nobody else owns. What is in there that
/// the manager never owned stays, and so does what it is in.
fn prune<P: Place>(place: P, merged: Value, last: &Entry, own: &Entry, others: &Managers) -> Value {
    if last.fields.difference(&own.fields).is_empty() {
        return merged;
    }
    let place_of = Some(place);
    let named = |set: &FieldSet| set.with_named_fields(place_of);
    let fields = |value: &Value| named(&fields_in(place, value));
    let without = |set: &FieldSet| remove(place, merged.clone(), set).unwrap_or_else(|| Value::Object(Map::new()));
    let owned = others
        .0
        .iter()
        .fold(own.fields.clone(), |all, entry| all.union(&entry.fields));
    let (last, all) = (named(&last.fields), fields(&merged));
    let stripped = without(&last);
    let kept = fields(&stripped).union(&named(&owned));
    let restored = without(&all.difference(&kept));
    without(&all.difference(&fields(&restored)).intersection(&last))
}

/// The conflicts that are left when the one who asks is kubectl, which moves an object from its client-side apply:
/// what it applied last by itself, according to its annotation, it owns already.
fn without_last_applied<P: Place>(
    place: P,
    live: &Value,
    conflicts: Vec<Conflict>,
    writer: &Writer<'_>,
) -> Vec<Conflict> {
    match last_applied::fields(place, live, writer) {
        Some(allowed) => conflicts
            .into_iter()
            .filter(|conflict| !allowed.contains(&conflict.path))
            .collect(),
        None => conflicts,
    }
}

fn unowned() -> &'static FieldSet {
    static SET: LazyLock<FieldSet> = LazyLock::new(|| {
        let mut set = FieldSet::default();
        for path in UNOWNED {
            let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
            set.insert(&path);
        }
        set
    });
    &SET
}

impl Managers {
    /// Takes fields from everybody: those that were set, and those that are no more.
    fn take_from_all(&mut self, set: &FieldSet, removed: &FieldSet) {
        for entry in &mut self.0 {
            for taken in [set, removed] {
                if entry.fields.touches(taken) {
                    entry.fields = entry.fields.difference(taken);
                }
            }
        }
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// Who owns fields of the set, in the order of the managers' names.
    fn conflicts(&self, set: &FieldSet) -> Vec<Conflict> {
        let mut owners: Vec<&Entry> = self.0.iter().filter(|entry| entry.fields.touches(set)).collect();
        owners.sort_by_key(|entry| (&entry.manager, entry.operation, &entry.api_version, &entry.subresource));
        owners
            .into_iter()
            .flat_map(|entry| {
                let manager = show_manager(entry);
                entry
                    .fields
                    .intersection(set)
                    .paths()
                    .into_iter()
                    .map(move |path| Conflict {
                        manager: manager.clone(),
                        path,
                    })
            })
            .collect()
    }
}

/// `"kubectl" with subresource "scale" using apps/v1`; appliers without the version.
fn show_manager(entry: &Entry) -> String {
    let mut text = format!("{:?}", entry.manager);
    if !entry.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", entry.subresource));
    }
    if entry.operation == Operation::Update {
        text.push_str(&format!(" using {}", entry.api_version));
    }
    text
}
