//! The compact form of the definitions: fields without their descriptions, in one table that is read once.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::definitions_json;

/// Place of a struct type in [`Types`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TypeId(u16);

/// Every struct type, sorted by name.
#[derive(Debug)]
pub(crate) struct Types {
    structs: Vec<StructType>,
    /// (`group/version/kind`, type), sorted.
    kinds: Vec<(Box<str>, TypeId)>,
}

#[derive(Debug)]
struct StructType {
    name: Box<str>,
    fields: Box<[Field]>,
    map_type: MapType,
}

/// One field of a struct type.
#[derive(Debug)]
pub(crate) struct Field {
    /// The name in JSON.
    pub(crate) name: Box<str>,
    /// Where the field is in protobuf, if it is.
    pub(crate) tag: Option<Tag>,
    /// What it holds.
    pub(crate) shape: Shape,
    /// Whether it is written even when empty.
    pub(crate) required: bool,
    /// Whether a strategic merge patch merges a list rather than replaces it.
    pub(crate) merges: bool,
    /// By which field of its items such a list is merged; absent for lists of scalars.
    pub(crate) merge_key: Option<Box<str>>,
    /// How server-side apply merges a list.
    pub(crate) list_type: ListType,
    /// What the field says about how server-side apply merges a map or struct.
    pub(crate) map_type: MapType,
}

/// `x-kubernetes-list-type`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListType {
    /// Replaced as a whole.
    Atomic,
    /// Of different scalars.
    Set,
    /// Of items that these fields tell apart, sorted by name.
    Map(Box<[Box<str>]>),
}

/// `x-kubernetes-map-type`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapType {
    /// Nothing is said: what the type says counts, and without that field by field.
    Unsaid,
    /// Replaced as a whole.
    Atomic,
    /// Merged field by field.
    Granular,
}

/// Position of a field in protobuf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    /// In the message itself.
    Direct(u32),
    /// In a message that JSON spreads over the outer one.
    Inline {
        /// Tag of that message.
        outer: u32,
        /// Tag within it.
        inner: u32,
    },
}

/// What a field holds.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// Text.
    String,
    /// Bytes, base64 in JSON.
    Bytes,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A floating-point number.
    Double,
    /// True or false.
    Bool,
    /// `100m`
    Quantity,
    /// A number or text, as ports are.
    IntOrString,
    /// A point in time, by the second.
    Time,
    /// A point in time, by the microsecond.
    MicroTime,
    /// Any JSON.
    Any,
    /// A struct.
    Struct(TypeId),
    /// A list.
    List(Box<Shape>),
    /// A map from text.
    Map(Box<Shape>),
}

/// The table; the first call reads the definitions (about 20 ms), and the table then stays (under 1 MB).
pub(crate) fn types() -> &'static Types {
    static TYPES: LazyLock<Types> = LazyLock::new(|| Types::from_json(&definitions_json()));
    &TYPES
}

impl Types {
    /// The type with this name.
    pub(crate) fn get(&self, name: &str) -> Option<TypeId> {
        let index = self.structs.binary_search_by(|entry| (*entry.name).cmp(name)).ok()?;
        u16::try_from(index).ok().map(TypeId)
    }

    /// The type of a kind.
    pub(crate) fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        let key = format!("{group}/{version}/{kind}");
        let index = self.kinds.binary_search_by(|(entry, _)| (**entry).cmp(&key)).ok()?;
        Some(self.kinds[index].1)
    }

    /// All types.
    #[cfg(test)]
    pub(crate) fn ids(&self) -> impl Iterator<Item = TypeId> + use<'_> {
        (0..self.structs.len()).filter_map(|index| u16::try_from(index).ok().map(TypeId))
    }

    /// The type's fields, sorted by name.
    pub(crate) fn fields(&self, id: TypeId) -> &[Field] {
        &self.structs[usize::from(id.0)].fields
    }

    /// How a struct merges, unless the field that holds it says otherwise.
    pub(crate) fn map_type(&self, id: TypeId) -> MapType {
        self.structs[usize::from(id.0)].map_type
    }

    /// The type's field with this name.
    pub(crate) fn field(&self, id: TypeId, name: &str) -> Option<&Field> {
        let fields = self.fields(id);
        let index = fields.binary_search_by(|field| (*field.name).cmp(name)).ok()?;
        Some(&fields[index])
    }

    /// The last part of the type's name, for example `PodSpec`.
    pub(crate) fn short_name(&self, id: TypeId) -> &str {
        let name = &self.structs[usize::from(id.0)].name;
        name.rsplit('.').next().unwrap_or(name)
    }

    /// The version in the type's name, for example `v1`.
    pub(crate) fn version(&self, id: TypeId) -> &str {
        self.structs[usize::from(id.0)].name.rsplit('.').nth(1).unwrap_or("v1")
    }

    /// Reads the definitions one by one, so that little more than the table is ever in memory.
    fn from_json(text: &[u8]) -> Types {
        const WELL_FORMED: &str = "the embedded definitions are what xtask wrote";
        let definitions: BTreeMap<&str, &RawValue> = serde_json::from_slice(text).expect(WELL_FORMED);
        let mut ids: BTreeMap<&str, TypeId> = BTreeMap::new();
        for (name, raw) in &definitions {
            let outline: Outline = serde_json::from_str(raw.get()).expect(WELL_FORMED);
            if outline.properties.is_some() {
                let id = u16::try_from(ids.len()).expect("there are fewer types than 65,536");
                ids.insert(name, TypeId(id));
            }
        }
        let mut structs = Vec::with_capacity(ids.len());
        let mut kinds = Vec::new();
        for (name, id) in &ids {
            let definition: RawDefinition = serde_json::from_str(definitions[name].get()).expect(WELL_FORMED);
            structs.push(StructType {
                name: (*name).into(),
                fields: fields(&definition, &ids),
                map_type: map_type(definition.map_type.as_deref()),
            });
            for kind in &definition.kinds {
                let key = format!("{}/{}/{}", kind.group, kind.version, kind.kind);
                kinds.push((key.into_boxed_str(), *id));
            }
        }
        kinds.sort_by(|a, b| a.0.cmp(&b.0));
        kinds.shrink_to_fit();
        Types { structs, kinds }
    }
}

fn fields(definition: &RawDefinition, ids: &BTreeMap<&str, TypeId>) -> Box<[Field]> {
    let inline_tag = |name: &str| {
        definition.inline.iter().find_map(|inline| {
            let (inner, _) = inline.fields.iter().find(|(_, field)| *field == name)?;
            Some(Tag::Inline {
                outer: inline.tag,
                inner: inner.parse().ok()?,
            })
        })
    };
    definition
        .properties
        .iter()
        .map(|(name, property)| Field {
            name: name.as_str().into(),
            tag: property.tag.map(Tag::Direct).or_else(|| inline_tag(name)),
            shape: shape(property, ids),
            required: definition.required.iter().any(|required| required == name),
            merges: property
                .patch_strategy
                .as_deref()
                .is_some_and(|strategy| strategy.split(',').any(|part| part == "merge")),
            merge_key: property.merge_key.as_deref().map(Box::from),
            list_type: list_type(property),
            map_type: map_type(property.map_type.as_deref()),
        })
        .collect()
}

/// A list that says nothing is atomic, unless a strategic merge patch merges it.
fn list_type(property: &RawProperty) -> ListType {
    let merges = property.patch_strategy.as_deref() == Some("merge");
    match (property.list_type.as_deref(), &property.merge_key) {
        (Some("map"), _) => {
            let mut keys: Vec<Box<str>> = property.list_map_keys.iter().map(|key| key.as_str().into()).collect();
            keys.sort_unstable();
            ListType::Map(keys.into())
        }
        (Some("set"), _) => ListType::Set,
        (None, Some(key)) if merges => ListType::Map([Box::from(key.as_str())].into()),
        (None, None) if merges => ListType::Set,
        _ => ListType::Atomic,
    }
}

fn map_type(said: Option<&str>) -> MapType {
    match said {
        Some("atomic") => MapType::Atomic,
        Some("granular") => MapType::Granular,
        _ => MapType::Unsaid,
    }
}

fn shape(property: &RawProperty, ids: &BTreeMap<&str, TypeId>) -> Shape {
    if let Some(reference) = &property.reference {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return match name {
            "io.k8s.apimachinery.pkg.api.resource.Quantity" => Shape::Quantity,
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => Shape::IntOrString,
            "io.k8s.apimachinery.pkg.apis.meta.v1.Time" => Shape::Time,
            "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime" => Shape::MicroTime,
            _ => ids.get(name).map_or(Shape::Any, |id| Shape::Struct(*id)),
        };
    }
    let inner =
        |inner: &Option<Box<RawProperty>>| Box::new(inner.as_ref().map_or(Shape::Any, |property| shape(property, ids)));
    match (property.kind.as_deref(), property.format.as_deref()) {
        (Some("string"), Some("byte")) => Shape::Bytes,
        (Some("string"), _) => Shape::String,
        (Some("integer"), Some("int32")) => Shape::Int32,
        (Some("integer"), _) => Shape::Int64,
        (Some("number"), _) => Shape::Double,
        (Some("boolean"), _) => Shape::Bool,
        (Some("array"), _) => Shape::List(inner(&property.items)),
        (Some("object"), _) => Shape::Map(inner(&property.additional)),
        _ => Shape::Any,
    }
}

/// Whether a definition has fields.
#[derive(Deserialize)]
struct Outline {
    properties: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct RawDefinition {
    properties: BTreeMap<String, RawProperty>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default, rename = "x-skep-inline")]
    inline: Vec<RawInline>,
    #[serde(default, rename = "x-kubernetes-group-version-kind")]
    kinds: Vec<RawKind>,
    #[serde(rename = "x-kubernetes-map-type")]
    map_type: Option<String>,
}

#[derive(Deserialize)]
struct RawInline {
    tag: u32,
    fields: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawKind {
    group: String,
    version: String,
    kind: String,
}

#[derive(Deserialize)]
struct RawProperty {
    #[serde(rename = "type")]
    kind: Option<String>,
    format: Option<String>,
    #[serde(rename = "$ref")]
    reference: Option<String>,
    items: Option<Box<RawProperty>>,
    #[serde(rename = "additionalProperties")]
    additional: Option<Box<RawProperty>>,
    #[serde(rename = "x-skep-tag")]
    tag: Option<u32>,
    #[serde(rename = "x-kubernetes-patch-strategy")]
    patch_strategy: Option<String>,
    #[serde(rename = "x-kubernetes-patch-merge-key")]
    merge_key: Option<String>,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(default, rename = "x-kubernetes-list-map-keys")]
    list_map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    map_type: Option<String>,
}
