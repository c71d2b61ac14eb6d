//! The place of the objects of any kind of the table.

use serde_json::Value;

use super::{
    place::{Child, Place, Topology},
    typed::Typed,
};
use crate::{custom::CustomPlace, resource::Resource};

/// A place in the type of a built-in kind or in the schema of a custom one.
#[derive(Debug, Clone, Copy)]
pub enum KindPlace {
    /// Of a built-in kind.
    Typed(Typed),
    /// Of a kind that a definition adds.
    Custom(CustomPlace),
}

impl KindPlace {
    /// The place of whole objects; none if the kind has no type.
    #[must_use]
    pub fn of(resource: &Resource) -> Option<KindPlace> {
        match resource.custom {
            Some(custom) => Some(KindPlace::Custom(custom.place())),
            None => Typed::root(resource.definition).map(KindPlace::Typed),
        }
    }
}

impl Place for KindPlace {
    fn topology(&self) -> Topology<'_> {
        match self {
            KindPlace::Typed(place) => place.topology(),
            KindPlace::Custom(place) => place.topology(),
        }
    }

    fn field(&self, name: &str) -> Option<Child<KindPlace>> {
        match self {
            KindPlace::Typed(place) => place.field(name).map(|child| child.map(KindPlace::Typed)),
            KindPlace::Custom(place) => place.field(name).map(|child| child.map(KindPlace::Custom)),
        }
    }

    fn item(&self) -> Option<KindPlace> {
        match self {
            KindPlace::Typed(place) => place.item().map(KindPlace::Typed),
            KindPlace::Custom(place) => place.item().map(KindPlace::Custom),
        }
    }

    fn key_default(&self, key: &str) -> Option<Value> {
        match self {
            KindPlace::Typed(place) => place.key_default(key),
            KindPlace::Custom(place) => place.key_default(key),
        }
    }

    fn standing(&self) -> &'static [&'static str] {
        match self {
            KindPlace::Typed(place) => place.standing(),
            KindPlace::Custom(place) => place.standing(),
        }
    }
}
