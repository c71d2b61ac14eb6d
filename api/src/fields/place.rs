//! Where a walk over an object is in its schema: what merges with what there.
//!
//! Kinds of their own schema (CustomResourceDefinitions) implement [`Place`] over it; what has no schema is
//! [`Deduced`] from its values.
//! Source: Kubernetes, "Server-Side Apply", "Merge strategy"; `x-kubernetes-list-type`, `-list-map-keys`, `-map-type`.

use serde_json::{Map, Value};

/// How values at a place merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology<'s> {
    /// One value without parts.
    Scalar(ScalarType),
    /// A list or map that is replaced as a whole.
    Atomic,
    /// A struct or a map: every field merges by itself.
    Granular,
    /// A list of different scalars.
    Set,
    /// A list whose items are told apart by these fields of theirs.
    Keyed(&'s [Box<str>]),
    /// Nothing is known: maps are granular, everything else is one value.
    Open,
}

/// What a scalar must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarType {
    /// Text.
    String,
    /// A number.
    Numeric,
    /// True or false.
    Boolean,
    /// Any of these.
    Any,
}

/// What values at a place are, to those who compute with them.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Held<P> {
    /// Anything.
    Unknown,
    Text,
    Bytes,
    Integer,
    Number,
    Boolean,
    /// A point in time.
    Time,
    /// A length of time.
    Span,
    /// Fields with names and types of their own.
    Struct,
    /// A map from text.
    Map(P),
    List(P),
}

/// A place below another.
#[derive(Debug, Clone, Copy)]
pub struct Child<P> {
    /// The place.
    pub place: P,
    /// True for a field of a struct, false for a key of a map.
    pub is_named: bool,
}

impl<P> Child<P> {
    /// The same child with its place as another type.
    pub fn map<Q>(self, to: impl FnOnce(P) -> Q) -> Child<Q> {
        Child {
            place: to(self.place),
            is_named: self.is_named,
        }
    }
}

/// A place in a schema. Small, as it is passed by value through every walk.
pub trait Place: Copy {
    /// How values here merge.
    fn topology(&self) -> Topology<'_>;

    /// The place of a field of the struct or of a value of the map here; none if the schema does not have it.
    fn field(&self, name: &str) -> Option<Child<Self>>;

    /// The place of the items of the list here.
    fn item(&self) -> Option<Self>;

    /// What a key of the items of the list here is, in an item that leaves it out.
    fn key_default(&self, key: &str) -> Option<Value>;

    /// Fields of the struct here that are there even when JSON leaves them out, as empty structs.
    fn standing(&self) -> &'static [&'static str];
}

/// The place of data without a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deduced;

impl Place for Deduced {
    fn topology(&self) -> Topology<'_> {
        Topology::Open
    }

    fn field(&self, _name: &str) -> Option<Child<Deduced>> {
        Some(Child {
            place: Deduced,
            is_named: false,
        })
    }

    fn item(&self) -> Option<Deduced> {
        Some(Deduced)
    }

    fn key_default(&self, _key: &str) -> Option<Value> {
        None
    }

    fn standing(&self) -> &'static [&'static str] {
        &[]
    }
}

/// How the walks treat a place, given the values there: what [`Topology`] leaves open is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handling<'s> {
    /// Compared and replaced whole.
    Leaf,
    /// Field by field.
    Fields,
    /// Item by item.
    Items(&'s [Box<str>]),
}

/// How a place with these values (old and new, of which one may be missing) is treated. Empty maps and lists are
/// leaves, so that "empty" and "absent" stay different.
pub(super) fn handling<'s, P: Place>(place: &'s P, values: [Option<&Value>; 2]) -> Handling<'s> {
    let filled_map = || values.iter().flatten().any(|value| !fields_of(value).is_empty());
    let filled_list = || values.iter().flatten().any(|value| !items_of(value).is_empty());
    match place.topology() {
        Topology::Scalar(_) | Topology::Atomic => Handling::Leaf,
        Topology::Granular if filled_map() => Handling::Fields,
        Topology::Set if filled_list() => Handling::Items(&[]),
        Topology::Keyed(keys) if filled_list() => Handling::Items(keys),
        Topology::Open => {
            let maps = values
                .iter()
                .flatten()
                .all(|value| value.is_object() || value.is_null());
            if maps && filled_map() {
                Handling::Fields
            } else {
                Handling::Leaf
            }
        }
        Topology::Granular | Topology::Set | Topology::Keyed(_) => Handling::Leaf,
    }
}

/// The fields of an object; none of anything else.
pub(super) fn fields_of(value: &Value) -> &Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.as_object().unwrap_or(&NONE)
}

/// The items of a list; none of anything else.
pub(super) fn items_of(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The step to an item of the list at a place, told apart by these keys or, without any, by its value.
///
/// # Errors
/// Why the item cannot be told apart.
pub(super) fn item_step<P: Place>(place: &P, keys: &[Box<str>], item: &Value) -> Result<String, String> {
    if keys.is_empty() {
        return match item {
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            scalar => Ok(super::element::value(scalar)),
        };
    }
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let mut found = Map::new();
    for key in keys {
        let value = fields.get(&**key).filter(|value| !value.is_null()).cloned();
        if let Some(value) = value.or_else(|| place.key_default(key)) {
            found.insert(key.to_string(), value);
        }
    }
    if found.is_empty() {
        let list: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values \
             for any key fields)",
            list.join(" ")
        ));
    }
    Ok(super::element::key(found))
}
