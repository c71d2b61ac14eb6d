//! The places of built-in kinds, from the generated table of types.

use serde_json::{Value, json};

use super::place::{Child, Held, Place, ScalarType, Topology};
use crate::schema::{ListType, MapType, Shape, TypeId, types};

/// A place in the type of a built-in kind.
#[derive(Debug, Clone, Copy)]
pub struct Typed(At);

#[derive(Debug, Clone, Copy)]
enum At {
    /// A struct type; at the root, no field says how it merges.
    Struct(TypeId, MapType),
    /// What a field holds, or the items or values of it.
    Held(&'static Shape, &'static ListType, MapType),
}

/// (type of the items, key): what the key is in an item that leaves it out. The published definitions do not say.
const KEY_DEFAULTS: &[(&str, &str, &str)] = &[("ContainerPort", "protocol", "TCP"), ("ServicePort", "protocol", "TCP")];

/// Fields that are there whenever their struct is, since Kubernetes holds them as structs and not as pointers. The
/// published definitions do not say which these are; the list has those that writes by ordinary clients fill.
const STANDING: &[(&str, &[&str])] = &[
    ("Container", &["resources"]),
    ("ContainerStatus", &["lastState", "state"]),
    ("CronJobSpec", &["jobTemplate"]),
    ("CustomResourceDefinitionSpec", &["names"]),
    ("CustomResourceDefinitionStatus", &["acceptedNames"]),
    ("DaemonSetSpec", &["template", "updateStrategy"]),
    ("DeploymentSpec", &["strategy", "template"]),
    ("EphemeralContainer", &["resources"]),
    ("Event", &["involvedObject", "metadata", "source"]),
    ("HorizontalPodAutoscalerSpec", &["scaleTargetRef"]),
    ("IngressServiceBackend", &["port"]),
    ("IngressStatus", &["loadBalancer"]),
    ("JobSpec", &["template"]),
    ("JobTemplateSpec", &["metadata", "spec"]),
    ("NodeDaemonEndpoints", &["kubeletEndpoint"]),
    ("NodeStatus", &["daemonEndpoints", "nodeInfo"]),
    ("PersistentVolumeClaimSpec", &["resources"]),
    ("PersistentVolumeClaimTemplate", &["metadata", "spec"]),
    ("PodTemplate", &["metadata", "template"]),
    ("PodTemplateSpec", &["metadata", "spec"]),
    ("ReplicaSetSpec", &["template"]),
    ("ResourceClaimSpec", &["devices"]),
    ("ResourceClaimTemplateSpec", &["metadata", "spec"]),
    ("ServiceStatus", &["loadBalancer"]),
    ("StatefulSetSpec", &["template", "updateStrategy"]),
    ("VolumeAttachmentSpec", &["source"]),
];

/// What stands in every kind.
const ROOT_STANDING: &[&str] = &["metadata", "spec", "status"];

impl Typed {
    /// The place of a whole object of a type, by its name in the table; none if there is no such type.
    #[must_use]
    pub fn root(definition: &str) -> Option<Typed> {
        let id = types().get(definition)?;
        Some(Typed(At::Struct(id, MapType::Unsaid)))
    }

    /// What values here are.
    pub(crate) fn held(&self) -> Held<Typed> {
        let shape = match self.0 {
            At::Struct(..) => return Held::Struct,
            At::Held(shape, ..) => shape,
        };
        let inner = |shape| Typed(At::Held(shape, &ListType::Atomic, MapType::Unsaid));
        match shape {
            Shape::String => Held::Text,
            Shape::Bytes => Held::Bytes,
            Shape::Int32 | Shape::Int64 => Held::Integer,
            Shape::Double => Held::Number,
            Shape::Bool => Held::Boolean,
            Shape::Time | Shape::MicroTime => Held::Time,
            Shape::Quantity | Shape::IntOrString | Shape::Any => Held::Unknown,
            Shape::Struct(_) => Held::Struct,
            Shape::List(item) => Held::List(inner(item)),
            Shape::Map(value) => Held::Map(inner(value)),
        }
    }

    fn parts(&self) -> (Option<&'static Shape>, Option<TypeId>, &'static ListType, MapType) {
        const ATOMIC: &ListType = &ListType::Atomic;
        match self.0 {
            At::Struct(id, said) => (None, Some(id), ATOMIC, said),
            At::Held(shape @ Shape::Struct(id), list, said) => (Some(shape), Some(*id), list, said),
            At::Held(shape, list, said) => (Some(shape), None, list, said),
        }
    }

    fn item_type(&self) -> Option<TypeId> {
        match self.0 {
            At::Held(Shape::List(item), ..) => match &**item {
                Shape::Struct(id) => Some(*id),
                _ => None,
            },
            At::Held(..) | At::Struct(..) => None,
        }
    }
}

impl Place for Typed {
    fn topology(&self) -> Topology<'_> {
        let (shape, id, list, said) = self.parts();
        if let Some(id) = id {
            let own = types().map_type(id);
            return match (said, own) {
                (MapType::Atomic, _) | (MapType::Unsaid, MapType::Atomic) => Topology::Atomic,
                (MapType::Granular, _) | (MapType::Unsaid, _) => Topology::Granular,
            };
        }
        match shape {
            Some(Shape::String | Shape::Bytes | Shape::Time | Shape::MicroTime) => Topology::Scalar(ScalarType::String),
            Some(Shape::Int32 | Shape::Int64 | Shape::Double) => Topology::Scalar(ScalarType::Numeric),
            Some(Shape::Bool) => Topology::Scalar(ScalarType::Boolean),
            Some(Shape::Quantity | Shape::IntOrString) => Topology::Scalar(ScalarType::Any),
            Some(Shape::List(_)) => match list {
                ListType::Atomic => Topology::Atomic,
                ListType::Set => Topology::Set,
                ListType::Map(keys) => Topology::Keyed(keys),
            },
            Some(Shape::Map(_)) if said != MapType::Atomic => Topology::Granular,
            Some(Shape::Map(_) | Shape::Any | Shape::Struct(_)) | None => Topology::Atomic,
        }
    }

    fn field(&self, name: &str) -> Option<Child<Typed>> {
        let (shape, id, ..) = self.parts();
        if let Some(id) = id {
            let field = types().field(id, name)?;
            return Some(Child {
                place: Typed(At::Held(&field.shape, &field.list_type, field.map_type)),
                is_named: true,
            });
        }
        match shape {
            Some(Shape::Map(value)) => Some(Child {
                place: Typed(At::Held(value, &ListType::Atomic, MapType::Unsaid)),
                is_named: false,
            }),
            _ => None,
        }
    }

    fn item(&self) -> Option<Typed> {
        match self.0 {
            At::Held(Shape::List(item), ..) => Some(Typed(At::Held(item, &ListType::Atomic, MapType::Unsaid))),
            At::Held(..) | At::Struct(..) => None,
        }
    }

    fn key_default(&self, key: &str) -> Option<Value> {
        let item = types().short_name(self.item_type()?);
        KEY_DEFAULTS
            .iter()
            .find(|(owner, field, _)| *owner == item && *field == key)
            .map(|(_, _, value)| json!(value))
    }

    fn standing(&self) -> &'static [&'static str] {
        match self.0 {
            At::Struct(id, _) => STANDING
                .iter()
                .find(|(owner, _)| *owner == types().short_name(id))
                .map_or(ROOT_STANDING, |(_, fields)| fields),
            At::Held(Shape::Struct(id), ..) => STANDING
                .iter()
                .find(|(owner, _)| *owner == types().short_name(*id))
                .map_or(&[], |(_, fields)| fields),
            At::Held(..) => &[],
        }
    }
}
