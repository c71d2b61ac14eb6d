//! The places of objects of any kind of the table: from the types of built-in kinds, or from the schemas of definitions.
//!
//! Source: Kubernetes, "Server-Side Apply", "Custom resources".

use serde_json::Value;

use super::{
    prune::METADATA,
    schema::{Additional, ListKind, Schema, ValueKind},
};
use crate::{
    fields::{Child, Held, Place, ScalarType, Topology, Typed},
    resource::Resource,
};

/// A place in the type of a built-in kind or in the schema of a custom one.
#[derive(Debug, Clone, Copy)]
pub struct KindPlace(At);

#[derive(Debug, Clone, Copy)]
enum At {
    /// A whole object, or one within another: it has a type and metadata, whatever its schema says.
    Object(&'static Schema),
    Within(&'static Schema),
    /// In a built-in kind, or in the metadata of a custom one.
    Typed(Typed),
    /// `apiVersion` and `kind`.
    TypeName,
    /// What the schema preserves without knowing it.
    Unknown,
}

impl KindPlace {
    /// The place of whole objects; none if the kind has no type.
    #[must_use]
    pub fn of(resource: &Resource) -> Option<KindPlace> {
        match resource.custom {
            Some(custom) => Some(KindPlace(At::Object(&custom.schema))),
            None => KindPlace::named(resource.definition),
        }
    }

    /// The place of values of a built-in type, by its name in the table; none if there is no such type.
    #[must_use]
    pub fn named(definition: &str) -> Option<KindPlace> {
        Typed::root(definition).map(|place| KindPlace(At::Typed(place)))
    }

    /// What values here are.
    pub(crate) fn held(&self) -> Held<KindPlace> {
        let schema = match self.0 {
            At::Object(_) => return Held::Struct,
            At::Within(schema) => schema,
            At::TypeName => return Held::Text,
            At::Unknown => return Held::Unknown,
            At::Typed(place) => {
                return match place.held() {
                    Held::Map(value) => Held::Map(KindPlace(At::Typed(value))),
                    Held::List(item) => Held::List(KindPlace(At::Typed(item))),
                    Held::Unknown => Held::Unknown,
                    Held::Text => Held::Text,
                    Held::Bytes => Held::Bytes,
                    Held::Integer => Held::Integer,
                    Held::Number => Held::Number,
                    Held::Boolean => Held::Boolean,
                    Held::Time => Held::Time,
                    Held::Span => Held::Span,
                    Held::Struct => Held::Struct,
                };
            }
        };
        match (schema.kind, &schema.additional, schema.limits.format.as_str()) {
            (Some(ValueKind::String), _, "byte") => Held::Bytes,
            (Some(ValueKind::String), _, "date" | "date-time") => Held::Time,
            (Some(ValueKind::String), _, "duration") => Held::Span,
            (Some(ValueKind::String), ..) => Held::Text,
            (Some(ValueKind::Integer), ..) => Held::Integer,
            (Some(ValueKind::Number), ..) => Held::Number,
            (Some(ValueKind::Boolean), ..) => Held::Boolean,
            (Some(ValueKind::Array), ..) => self.item().map_or(Held::Unknown, Held::List),
            (Some(ValueKind::Object), Additional::Of(value), _) => Held::Map(KindPlace::within(value)),
            (Some(ValueKind::Object), Additional::Any, _) => Held::Map(KindPlace(At::Unknown)),
            (Some(ValueKind::Object), ..) if schema.preserves && schema.properties.is_empty() => Held::Unknown,
            (Some(ValueKind::Object), ..) => Held::Struct,
            (None, ..) => Held::Unknown,
        }
    }

    fn within(schema: &'static Schema) -> KindPlace {
        KindPlace(if schema.embedded {
            At::Object(schema)
        } else {
            At::Within(schema)
        })
    }

    fn schema(&self) -> Option<&'static Schema> {
        match self.0 {
            At::Object(schema) | At::Within(schema) => Some(schema),
            At::Typed(_) | At::TypeName | At::Unknown => None,
        }
    }
}

impl Place for KindPlace {
    fn topology(&self) -> Topology<'_> {
        let schema = match &self.0 {
            At::Object(schema) | At::Within(schema) => schema,
            At::Typed(place) => return place.topology(),
            At::TypeName => return Topology::Scalar(ScalarType::String),
            At::Unknown => return Topology::Open,
        };
        match schema.kind {
            Some(ValueKind::String) => Topology::Scalar(ScalarType::String),
            Some(ValueKind::Integer | ValueKind::Number) => Topology::Scalar(ScalarType::Numeric),
            Some(ValueKind::Boolean) => Topology::Scalar(ScalarType::Boolean),
            Some(ValueKind::Array) => match &schema.list {
                ListKind::Atomic => Topology::Atomic,
                ListKind::Set => Topology::Set,
                ListKind::Map(keys) => Topology::Keyed(keys),
            },
            Some(ValueKind::Object) if schema.is_atomic => Topology::Atomic,
            Some(ValueKind::Object) => Topology::Granular,
            None if schema.int_or_string => Topology::Scalar(ScalarType::Any),
            None => Topology::Open,
        }
    }

    fn field(&self, name: &str) -> Option<Child<KindPlace>> {
        let named = |at: At| Child {
            place: KindPlace(at),
            is_named: true,
        };
        let schema = match (self.0, name) {
            (At::Object(_), "apiVersion" | "kind") => return Some(named(At::TypeName)),
            (At::Object(_), "metadata") => return Typed::root(METADATA).map(|place| named(At::Typed(place))),
            (At::Object(schema) | At::Within(schema), _) => schema,
            (At::Typed(place), _) => {
                let child = place.field(name)?;
                return Some(child.map(|place| KindPlace(At::Typed(place))));
            }
            (At::Unknown, _) => {
                return Some(Child {
                    place: KindPlace(At::Unknown),
                    is_named: false,
                });
            }
            (At::TypeName, _) => return None,
        };
        if let Some(property) = schema.properties.get(name) {
            return Some(Child {
                place: KindPlace::within(property),
                is_named: true,
            });
        }
        let place = match &schema.additional {
            Additional::Of(value) => KindPlace::within(value),
            Additional::Any => KindPlace(At::Unknown),
            Additional::Absent if schema.preserves || schema.kind.is_none() => KindPlace(At::Unknown),
            Additional::Absent => return None,
        };
        Some(Child { place, is_named: false })
    }

    fn item(&self) -> Option<KindPlace> {
        match self.0 {
            At::Typed(place) => place.item().map(|place| KindPlace(At::Typed(place))),
            At::Unknown => Some(*self),
            At::TypeName => None,
            At::Object(schema) | At::Within(schema) => Some(match &schema.items {
                Some(items) => KindPlace::within(items),
                None => KindPlace(At::Unknown),
            }),
        }
    }

    fn key_default(&self, key: &str) -> Option<Value> {
        if let At::Typed(place) = &self.0 {
            return place.key_default(key);
        }
        let items = self.schema()?.items.as_ref()?;
        items.properties.get(key)?.default.clone()
    }

    fn standing(&self) -> &'static [&'static str] {
        match &self.0 {
            At::Typed(place) => place.standing(),
            At::Object(_) | At::Within(_) | At::TypeName | At::Unknown => &[],
        }
    }
}
