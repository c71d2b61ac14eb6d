//! `metadata.managedFields` of everything that is written: who owns which fields after it.
//!
//! Pure. Never here: what owning a field means for applying (`api::fields`), and who may write.
//! Source: Kubernetes, "Server-Side Apply", "Field management".

use api::{
    fields::{self, Filter, KindPlace, Managers, Writer},
    resource::{self, Resource},
};
use serde_json::{Value, json};

use super::{
    now,
    object::{metadata, metadata_mut},
    strategy::Part,
};

const FIELD: &str = "managedFields";
/// Part of an object that only its `status` path writes.
const STATUS: &[&str] = &["status"];

/// How a write changes who owns what.
#[derive(Debug, Clone)]
pub(super) enum Record<'a> {
    /// The writer owns what it changes.
    Changes {
        /// Name of the writer; empty if not known.
        manager: &'a str,
        /// Last part of the path; empty for the object itself.
        subresource: &'a str,
    },
    /// It was decided already: what the object carries from now on.
    Decided(Managers),
}

/// The place of a kind's objects in their schema.
pub(super) fn place(resource: &Resource) -> Option<KindPlace> {
    KindPlace::of(resource)
}

/// What a path writes: the rest is undone by the engine, and changes no owner.
pub(super) fn filter(resource: &Resource, part: Part) -> Filter<'static> {
    match part {
        Part::Main if resource.has_status() => Filter::Except(STATUS),
        Part::Main => Filter::Except(&[]),
        Part::Status | Part::Approval => Filter::Only(&["metadata", "status"]),
        Part::Finalize | Part::Pod(_) => Filter::Only(&["spec"]),
    }
}

/// The entries that a stored object has, without those of versions that are no more. What cannot be read is forgotten.
pub(super) fn managers(resource: &Resource, object: &Value) -> Managers {
    let list = metadata(object).get(FIELD).cloned().unwrap_or_default();
    trusted(resource, list)
}

fn trusted(resource: &Resource, list: Value) -> Managers {
    known(resource, Managers::trusted(list).unwrap_or_default())
}

fn known(resource: &Resource, mut managers: Managers) -> Managers {
    let own = resource.api_version();
    managers.0.retain(|entry| {
        entry.api_version == own
            || resource::by_api_version(&entry.api_version, resource.kind).is_some()
            || (resource.custom.is_some() && group_of(&entry.api_version) == resource.group)
    });
    managers
}

fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Who owns what in a new object, as its creator sent it and with the defaults of its kind.
pub(super) fn of_creation(resource: &Resource, object: &Value, record: Record<'_>) -> Managers {
    let (manager, subresource) = match record {
        Record::Decided(managers) => return managers,
        Record::Changes { manager, subresource } => (manager, subresource),
    };
    let given = metadata(object).get(FIELD).unwrap_or(&Value::Null);
    let given = Managers::parse(given).unwrap_or_default();
    changed(resource, Part::Main, [&json!({}), object], given, manager, subresource)
}

/// Who owns what after an update. `wanted` is what the client wants of the whole object, with the defaults of its kind;
/// it loses its own entries, which are moved rather than copied when they are those that the object has.
pub(super) fn of_update(
    resource: &Resource,
    part: Part,
    current: &Value,
    wanted: &mut Value,
    record: Record<'_>,
) -> Managers {
    let (manager, subresource) = match record {
        Record::Decided(managers) => return managers,
        Record::Changes { manager, subresource } => (manager, subresource),
    };
    let given = metadata_mut(wanted).remove(FIELD);
    let live = metadata(current).get(FIELD);
    let start = match given {
        Some(given) if live == Some(&given) => trusted(resource, given),
        // Only the object's own path can write them.
        Some(given) if subresource.is_empty() => written(resource, &given, managers(resource, current)),
        Some(_) | None => managers(resource, current),
    };
    changed(resource, part, [current, wanted], start, manager, subresource)
}

/// Whether a new version differs from the one that is there in nothing but the times of its entries: then there is
/// nothing to write.
pub(super) fn is_retimed_only(resource: &Resource, current: &Value, new: &Value, managers: &Managers) -> bool {
    let names = |object: &Value| object.as_object().map_or(0, serde_json::Map::len);
    let same_fields = names(current) == names(new)
        && current.as_object().into_iter().flatten().all(|(name, value)| {
            if name == "metadata" {
                let fields = metadata(new).iter().filter(|(name, _)| *name != FIELD);
                metadata(current).iter().filter(|(name, _)| *name != FIELD).eq(fields)
            } else {
                new.get(name) == Some(value)
            }
        });
    same_fields && managers.is_same_but_times(&self::managers(resource, current))
}

/// The entries that a client wrote: none if it asks to forget them, those that are there if its own are not valid.
fn written(resource: &Resource, given: &Value, live: Managers) -> Managers {
    if fields::is_reset(given) {
        return Managers::default();
    }
    match Managers::parse(given) {
        Ok(managers) if !managers.0.is_empty() => known(resource, managers),
        Ok(_) | Err(_) => live,
    }
}

fn changed(
    resource: &Resource,
    part: Part,
    [old, new]: [&Value; 2],
    managers: Managers,
    manager: &str,
    subresource: &str,
) -> Managers {
    let Some(place) = place(resource) else {
        return managers;
    };
    let writer = Writer {
        manager,
        api_version: &resource.api_version(),
        subresource,
        filter: filter(resource, part),
        now: &now(),
    };
    fields::track(place, old, new, managers, &writer)
}

/// Writes the entries into an object.
pub(super) fn put(object: &mut Value, managers: Managers) {
    let list = managers.into_json();
    let metadata = metadata_mut(object);
    if list.is_null() {
        metadata.remove(FIELD);
    } else {
        metadata.insert(FIELD.to_owned(), list);
    }
}

/// Takes the entries out of an object.
pub(super) fn take(object: &mut Value) {
    metadata_mut(object).remove(FIELD);
}

#[cfg(test)]
mod tests;
