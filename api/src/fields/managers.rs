//! `metadata.managedFields`: one entry for each manager, operation, version and subresource.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::set::{FieldSet, MalformedSet};

/// Most entries of updates that are kept apart; older ones are merged, so that an object's managedFields stay bounded
/// whoever writes it. As in Kubernetes.
const UPDATE_ENTRIES_MAX: usize = 10;
/// The manager of merged entries.
const ANCIENT: &str = "ancient-changes";

/// How fields came to their manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply: the manager states all its fields each time.
    Apply,
    /// Anything else.
    Update,
}

impl Operation {
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// What one manager owns.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Name of the actor.
    pub manager: String,
    /// How it came to its fields.
    pub operation: Operation,
    /// Version of the object in which the fields are named.
    pub api_version: String,
    /// RFC 3339, whole seconds; empty if not known.
    pub time: String,
    /// Part of the object's path; empty for the object itself.
    pub subresource: String,
    /// The fields.
    pub fields: FieldSet,
}

impl Entry {
    /// Whether two entries are of the same manager. Appliers keep their identity from version to version.
    #[must_use]
    pub fn is_same_manager(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    fn seconds(&self) -> i64 {
        self.time.parse::<Timestamp>().map_or(0, Timestamp::as_second)
    }

    fn into_json(self) -> Value {
        let mut entry = Map::new();
        let mut put = |name: &str, value: Value| entry.insert(name.to_owned(), value);
        put("manager", json!(self.manager));
        put("operation", json!(self.operation.name()));
        put("apiVersion", json!(self.api_version));
        if !self.time.is_empty() {
            put("time", json!(self.time));
        }
        put("fieldsType", json!("FieldsV1"));
        put("fieldsV1", self.fields.into_json());
        if !self.subresource.is_empty() {
            put("subresource", json!(self.subresource));
        }
        Value::Object(entry)
    }
}

/// The entries of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Managers(pub Vec<Entry>);

/// A list that is no managedFields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MalformedFields {
    /// It is no list of objects.
    #[error("managedFields must be a list of objects")]
    NoList,
    /// An operation that does not exist.
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    /// No version.
    #[error("apiVersion must not be empty")]
    NoVersion,
    /// Another encoding of fields than the one there is.
    #[error("invalid fieldsType {0:?}")]
    FieldsType(String),
    /// The fields cannot be read.
    #[error("error decoding set: {0}")]
    Fields(#[from] MalformedSet),
}

/// Whether a client asks to forget all managers: an empty list, or one empty entry.
#[must_use]
pub fn is_reset(list: &Value) -> bool {
    match list.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.as_object().is_some_and(Map::is_empty),
        Some(_) | None => false,
    }
}

impl Managers {
    /// Reads entries that a client wrote.
    ///
    /// # Errors
    /// When an entry is not valid; the caller keeps those that the object has.
    pub fn parse(list: &Value) -> Result<Managers, MalformedFields> {
        Managers::read(list.clone(), |fields| Ok(FieldSet::parse(&fields)?))
    }

    /// Takes entries that this server wrote, without looking at their fields or copying them.
    ///
    /// # Errors
    /// When an entry is not valid: the object was written by something else.
    pub fn trusted(list: Value) -> Result<Managers, MalformedFields> {
        Managers::read(list, |fields| match fields {
            Value::Object(fields) => Ok(FieldSet::trusted(fields)),
            _ => Ok(FieldSet::default()),
        })
    }

    fn read(
        list: Value,
        fields: impl Fn(Value) -> Result<FieldSet, MalformedFields>,
    ) -> Result<Managers, MalformedFields> {
        let items = match list {
            Value::Null => return Ok(Managers::default()),
            Value::Array(items) => items,
            _ => return Err(MalformedFields::NoList),
        };
        let mut managers = Managers::default();
        for mut item in items {
            if !item.is_object() {
                return Err(MalformedFields::NoList);
            }
            let text = |item: &Value, name: &str| item[name].as_str().unwrap_or_default().to_owned();
            let operation = match item["operation"].as_str() {
                Some("Apply") => Operation::Apply,
                Some("Update") => Operation::Update,
                _ => return Err(MalformedFields::Operation),
            };
            let api_version = text(&item, "apiVersion");
            if api_version.is_empty() {
                return Err(MalformedFields::NoVersion);
            }
            if item["fieldsType"] != "FieldsV1" {
                return Err(MalformedFields::FieldsType(text(&item, "fieldsType")));
            }
            let fields = match item["fieldsV1"].take() {
                Value::Null => FieldSet::default(),
                some => fields(some)?,
            };
            let entry = Entry {
                manager: text(&item, "manager"),
                operation,
                api_version,
                time: text(&item, "time"),
                subresource: text(&item, "subresource"),
                fields,
            };
            // Of entries of one manager the last counts.
            managers.0.retain(|known| !known.is_same_manager(&entry));
            managers.0.push(entry);
        }
        Ok(managers)
    }

    /// As in the metadata: appliers first, oldest first. Null if there are none.
    #[must_use]
    pub fn into_json(mut self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        self.0.sort_by_cached_key(|entry| {
            (
                entry.operation,
                entry.seconds(),
                entry.manager.clone(),
                entry.api_version.clone(),
                entry.subresource.clone(),
            )
        });
        self.0.into_iter().map(Entry::into_json).collect()
    }

    /// The same managers with the same fields, whenever.
    #[must_use]
    pub fn is_same_but_times(&self, other: &Managers) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().all(|entry| {
                other.0.iter().any(|known| {
                    known.is_same_manager(entry)
                        && known.api_version == entry.api_version
                        && known.fields == entry.fields
                })
            })
    }

    /// Where the entry of the same manager is.
    pub(super) fn position(&self, of: &Entry) -> Option<usize> {
        self.0.iter().position(|entry| entry.is_same_manager(of))
    }

    /// Merges the oldest entries of updates, version by version, until there are few enough.
    pub(super) fn cap(&mut self) {
        let mut updates: Vec<usize> = (0..self.0.len())
            .filter(|index| self.0[*index].operation == Operation::Update)
            .collect();
        let mut excess = updates.len().saturating_sub(UPDATE_ENTRIES_MAX);
        if excess == 0 {
            return;
        }
        updates.sort_by_cached_key(|index| {
            let entry = &self.0[*index];
            (entry.seconds(), entry.manager.clone(), entry.subresource.clone())
        });
        // The place of each version's bucket: the first, oldest entry of the version becomes it once a second joins.
        let mut buckets: Vec<usize> = Vec::new();
        let mut merged: Vec<usize> = Vec::new();
        for index in updates {
            if excess == 0 {
                break;
            }
            let version = &self.0[index].api_version;
            let bucket = buckets
                .iter()
                .copied()
                .find(|bucket| self.0[*bucket].api_version == *version);
            let Some(bucket) = bucket else {
                buckets.push(index);
                continue;
            };
            let fields = self.0[bucket].fields.union(&self.0[index].fields);
            let time = self.0[index].time.clone();
            let kept = &mut self.0[bucket];
            kept.manager = ANCIENT.to_owned();
            kept.subresource.clear();
            kept.fields = fields;
            kept.time = time;
            merged.push(index);
            excess -= 1;
        }
        let mut index = 0;
        self.0.retain(|_| {
            index += 1;
            !merged.contains(&(index - 1))
        });
    }
}
