//! What the server does with bytes from clients, as functions of the bytes: each must answer or refuse, never panic,
//! and take time and memory in proportion.
//!
//! An input begins with the number of the kind (two bytes, little endian, modulo their count), except for selectors.
//! Never here: a server, a store; the order of steps is that of `control::engine`.

pub mod seeds;

use std::{hint::black_box, sync::LazyLock};

use api::{
    Timestamp, conversion, defaulting,
    fields::{self, Configuration, Filter, KindPlace, Managers, Writer},
    patch, protobuf,
    resource::{self, Resource},
    schema,
    selector::{FieldSelector, LabelSelector},
    table, validation,
};
use serde_json::{Value, json};

/// Real objects, one per document.
const OBJECTS: &str = include_str!("../objects.yaml");

/// The objects that seeds are made of, and that patches are applied to.
///
/// # Panics
/// When the file is not what its name says.
#[must_use]
pub fn objects() -> &'static [Value] {
    use serde::Deserialize as _;
    static PARSED: LazyLock<Vec<Value>> = LazyLock::new(|| {
        serde_yaml_ng::Deserializer::from_str(OBJECTS)
            .map(|document| Value::deserialize(document).expect("an object in YAML"))
            .collect()
    });
    &PARSED
}

/// The kind of an object, and its number.
#[must_use]
pub fn kind_of(object: &Value) -> Option<(u16, &'static Resource)> {
    let (version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
    let rows = resource::resources().iter().zip(0..);
    let mut rows = rows.filter(|(row, _)| row.api_version() == version && row.kind == kind);
    rows.next().map(|(row, number)| (number, row))
}

fn kind(data: &[u8]) -> Option<(&'static Resource, &[u8])> {
    let (number, rest) = data.split_first_chunk()?;
    let rows = resource::resources();
    rows.get(usize::from(u16::from_le_bytes(*number)) % rows.len())
        .map(|row| (row, rest))
}

/// An object of a kind: a real one if there is one.
fn base(resource: &Resource) -> Value {
    let mut real = objects().iter();
    let real = real.find(|object| kind_of(object).is_some_and(|(_, row)| std::ptr::eq(row, resource)));
    let mut object = real.cloned().unwrap_or_else(|| {
        json!({
            "apiVersion": resource.api_version(),
            "kind": resource.kind,
            "metadata": { "name": "a", "namespace": "default" },
        })
    });
    object["metadata"]["uid"] = json!("0e8c8c9e-8a7c-4a52-9d4c-0a4f7f0f3c11");
    defaulting::apply(resource, &mut object);
    object
}

/// A decoded body through creation, or update of `old`.
fn take_in(resource: &Resource, mut object: Value, old: Option<&Value>) {
    if !object.is_object() {
        return;
    }
    object["apiVersion"] = json!(resource.api_version());
    object["kind"] = json!(resource.kind);
    black_box(schema::check_fields(resource, &object));
    schema::prune(resource, &mut object);
    if schema::check_types(resource, &object).is_err() {
        return;
    }
    conversion::to_stored(resource, &mut object);
    let stored = resource.stored();
    defaulting::apply(stored, &mut object);
    let faults = match old {
        None => validation::validate_create(stored, &object),
        Some(old) => validation::validate_update(stored, &object, old),
    };
    if !faults.is_empty() {
        return;
    }
    let mut again = object.clone();
    defaulting::apply(stored, &mut again);
    assert_eq!(object, again, "defaults are the same a second time");
    conversion::from_stored(resource, &mut object);
    let items = std::slice::from_ref(&object);
    black_box(table::render(resource, items, Timestamp::UNIX_EPOCH));
    let bytes = serde_json::to_vec(&object).expect("an object is JSON");
    let parsed = schema::parse_strict(&bytes).expect("what was accepted can be read again");
    assert_eq!(parsed.value, object, "it is read as it was");
}

/// A body in JSON.
pub fn json(data: &[u8]) {
    let Some((resource, body)) = kind(data) else { return };
    if let Ok(parsed) = schema::parse_strict(body) {
        take_in(resource, parsed.value, None);
    }
}

/// A body in YAML, and the documents of a file as the command line takes them.
pub fn yaml(data: &[u8]) {
    let Some((resource, body)) = kind(data) else { return };
    let Ok(text) = std::str::from_utf8(body) else { return };
    for document in api::yaml::documents(text).into_iter().flatten() {
        take_in(resource, document.value, None);
    }
}

/// A body in protobuf: of the kind that the number says, and as the bytes are.
pub fn protobuf(data: &[u8]) {
    let Some((resource, message)) = kind(data) else { return };
    if let Ok((_, object)) = protobuf::decode(&envelope(resource, message)) {
        take_in(resource, object, None);
    }
    if let Ok((meta, object)) = protobuf::decode(message)
        && let Some(resource) = resource::by_api_version(&meta.api_version, &meta.kind)
    {
        take_in(resource, object, None);
    }
}

/// A message as a body: `runtime.Unknown` around it.
#[must_use]
pub fn envelope(resource: &Resource, message: &[u8]) -> Vec<u8> {
    let meta = [
        bytes_field(1, resource.api_version().as_bytes()),
        bytes_field(2, resource.kind.as_bytes()),
    ]
    .concat();
    [b"k8s\0".to_vec(), bytes_field(1, &meta), bytes_field(2, message)].concat()
}

/// A field of bytes in protobuf.
#[must_use]
pub fn bytes_field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![tag << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

/// A patch over an object: the byte after the kind says which sort of patch.
pub fn patch(data: &[u8]) {
    let Some((resource, rest)) = kind(data) else { return };
    let Some((sort, patch)) = rest.split_first() else {
        return;
    };
    let old = base(resource);
    let mut new = old.clone();
    let applied = match sort % 3 {
        0 => patch::json_patch(&mut new, patch),
        sort => match serde_json::from_slice(patch) {
            Ok(patch) if sort == 1 => patch::json_merge(&mut new, &patch),
            Ok(patch) => patch::strategic_merge(resource, &mut new, &patch),
            Err(_) => return,
        },
    };
    match applied {
        Ok(()) => take_in(resource, new, Some(&old)),
        Err(_) => assert_eq!(new, old, "a patch that is refused changes nothing"),
    }
}

/// A configuration that is applied over an object, twice by one manager and once by another, and managed fields that a
/// client wrote.
pub fn apply(data: &[u8]) {
    let Some((resource, rest)) = kind(data) else { return };
    let Some(place) = KindPlace::of(resource) else { return };
    let mut config = match schema::parse_strict(rest) {
        Ok(parsed) => parsed.value,
        Err(_) => match std::str::from_utf8(rest).map(serde_yaml_ng::from_str) {
            Ok(Ok(config)) => config,
            Ok(Err(_)) | Err(_) => return,
        },
    };
    if !config.is_object() {
        return;
    }
    config["apiVersion"] = json!(resource.api_version());
    config["kind"] = json!(resource.kind);
    let given = match config["metadata"].as_object_mut() {
        Some(metadata) => metadata.remove("managedFields").unwrap_or_default(),
        None => Value::Null,
    };
    let Ok(named) = fields::extract(place, &config) else {
        return;
    };
    let api_version = resource.api_version();
    let writer = |manager| Writer {
        manager,
        api_version: &api_version,
        subresource: "",
        filter: Filter::Except(&["status"]),
        now: "2026-01-01T00:00:00Z",
    };
    let configuration = |force| Configuration {
        object: &config,
        fields: &named,
        force,
    };
    let finish = |object: &mut Value| schema::prune(resource, object);
    let live = base(resource);
    let managers = Managers::parse(&given).unwrap_or_default();
    let managers = fields::track(place, &json!({}), &live, managers, &writer("before"));
    let Ok(first) = fields::apply(place, &live, managers, configuration(true), &writer("a"), finish) else {
        panic!("a forced configuration has no conflicts");
    };
    let again = fields::apply(
        place,
        &first.object,
        first.managers.clone(),
        configuration(false),
        &writer("a"),
        finish,
    );
    let again = again.unwrap_or_else(|conflicts| panic!("its own configuration has conflicts: {conflicts}"));
    assert_eq!(again.object, first.object, "applied again, it is the same");
    // Another one who states the same.
    let other = fields::apply(
        place,
        &again.object,
        again.managers,
        configuration(false),
        &writer("b"),
        finish,
    );
    if let Ok(other) = other {
        let list = other.managers.into_json();
        assert!(
            list.is_null() || Managers::parse(&list).is_ok(),
            "what was written can be read: {list}"
        );
        take_in(resource, other.object, Some(&live));
    }
}

/// Selectors in a query, and one in an object.
pub fn selector(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let objects = [
        json!({ "metadata": { "name": "a", "namespace": "default", "labels": { "app": "web", "tier": "" } } }),
        json!({ "metadata": { "name": "a" }, "spec": { "nodeName": "n" }, "status": { "phase": "Running" } }),
        json!({ "metadata": { "labels": { "app": 1 } } }),
        json!([]),
    ];
    if let Ok(selector) = LabelSelector::parse(text) {
        let shown = selector.to_string();
        let again = LabelSelector::parse(&shown).unwrap_or_else(|error| panic!("{shown:?} is its own text: {error}"));
        for object in &objects {
            assert_eq!(
                selector.matches_object(object),
                again.matches_object(object),
                "{shown:?}"
            );
        }
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        for resource in resource::resources() {
            if selector.check(resource).is_ok() {
                let selector = selector.clone().on_stored(resource);
                for object in &objects {
                    black_box(selector.matches(object));
                }
            }
        }
    }
    if let Ok(value) = serde_json::from_str(text)
        && let Ok(selector) = LabelSelector::from_value(&value)
    {
        for object in &objects {
            black_box(selector.matches_object(object));
        }
    }
}
