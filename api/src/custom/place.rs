//! The places of custom kinds, from the schemas of their definitions.
//!
//! Source: Kubernetes, "Server-Side Apply", "Custom resources".

use serde_json::Value;

use super::{
    prune::METADATA,
    schema::{Additional, ListKind, Schema, ValueKind},
};
use crate::fields::{Child, Place, ScalarType, Topology, Typed};

/// A place in the schema of a custom kind.
#[derive(Debug, Clone, Copy)]
pub struct CustomPlace(At);

#[derive(Debug, Clone, Copy)]
enum At {
    /// A whole object, or one within another: it has a type and metadata, whatever its schema says.
    Object(&'static Schema),
    Within(&'static Schema),
    Metadata(Typed),
    /// `apiVersion` and `kind`.
    TypeName,
    /// What the schema preserves without knowing it.
    Unknown,
}

impl CustomPlace {
    pub(super) fn root(schema: &'static Schema) -> CustomPlace {
        CustomPlace(At::Object(schema))
    }

    fn within(schema: &'static Schema) -> CustomPlace {
        CustomPlace(if schema.embedded {
            At::Object(schema)
        } else {
            At::Within(schema)
        })
    }

    fn schema(&self) -> Option<&'static Schema> {
        match self.0 {
            At::Object(schema) | At::Within(schema) => Some(schema),
            At::Metadata(_) | At::TypeName | At::Unknown => None,
        }
    }
}

impl Place for CustomPlace {
    fn topology(&self) -> Topology<'_> {
        let schema = match &self.0 {
            At::Object(schema) | At::Within(schema) => schema,
            At::Metadata(place) => return place.topology(),
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

    fn field(&self, name: &str) -> Option<Child<CustomPlace>> {
        let named = |at: At| Child {
            place: CustomPlace(at),
            is_named: true,
        };
        let schema = match (self.0, name) {
            (At::Object(_), "apiVersion" | "kind") => return Some(named(At::TypeName)),
            (At::Object(_), "metadata") => return Typed::root(METADATA).map(|place| named(At::Metadata(place))),
            (At::Object(schema) | At::Within(schema), _) => schema,
            (At::Metadata(place), _) => {
                let child = place.field(name)?;
                return Some(child.map(|place| CustomPlace(At::Metadata(place))));
            }
            (At::Unknown, _) => {
                return Some(Child {
                    place: CustomPlace(At::Unknown),
                    is_named: false,
                });
            }
            (At::TypeName, _) => return None,
        };
        if let Some(property) = schema.properties.get(name) {
            return Some(Child {
                place: CustomPlace::within(property),
                is_named: true,
            });
        }
        let place = match &schema.additional {
            Additional::Of(value) => CustomPlace::within(value),
            Additional::Any => CustomPlace(At::Unknown),
            Additional::Absent if schema.preserves || schema.kind.is_none() => CustomPlace(At::Unknown),
            Additional::Absent => return None,
        };
        Some(Child { place, is_named: false })
    }

    fn item(&self) -> Option<CustomPlace> {
        match self.0 {
            At::Metadata(place) => place.item().map(|place| CustomPlace(At::Metadata(place))),
            At::Unknown => Some(*self),
            At::TypeName => None,
            At::Object(schema) | At::Within(schema) => Some(match &schema.items {
                Some(items) => CustomPlace::within(items),
                None => CustomPlace(At::Unknown),
            }),
        }
    }

    fn key_default(&self, key: &str) -> Option<Value> {
        if let At::Metadata(place) = &self.0 {
            return place.key_default(key);
        }
        let items = self.schema()?.items.as_ref()?;
        items.properties.get(key)?.default.clone()
    }

    fn standing(&self) -> &'static [&'static str] {
        match &self.0 {
            At::Metadata(place) => place.standing(),
            At::Object(_) | At::Within(_) | At::TypeName | At::Unknown => &[],
        }
    }
}
