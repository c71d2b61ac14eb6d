//! The typed objects that planners and agents work on, and their keys.
//!
//! The API server itself works on raw JSON (typed structs drop unknown fields); here an object is decoded once, for
//! those who decide by it. One row in [`kinds!`] per kind.

use std::{fmt, str::FromStr};

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        coordination::v1::Lease,
        core::v1::{
            ConfigMap, Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ResourceQuota, Secret,
            Service, ServiceAccount,
        },
        discovery::v1::EndpointSlice,
        rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// Whether a kind's objects live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One set of names per namespace.
    Namespaced,
    /// One set of names for the cluster.
    Cluster,
}

/// The bytes of an object are not a valid object of the kind.
#[derive(Debug, thiserror::Error)]
#[error("decode {kind}")]
pub struct DecodeError {
    /// The kind that was expected.
    pub kind: Kind,
    /// What the decoder said, with line and column.
    #[source]
    pub source: serde_json::Error,
}

/// `resource` (as in [`Kind::collection`]) names no kind that planners know.
#[derive(Debug, thiserror::Error)]
#[error("no kind is stored in collection {0:?}")]
pub struct UnknownCollection(pub String);

macro_rules! kinds {
    ($($kind:ident, $group:literal, $version:literal, $plural:literal, $scope:ident;)*) => {
        /// A kind that planners and agents decode.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`", $plural, "`")] $kind,)*
        }

        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Kind] = &[$(Kind::$kind,)*];

            /// The kind's name as in `kind:`, for example `ReplicaSet`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$kind => stringify!($kind),)* }
            }

            /// API group; empty for the core group.
            #[must_use]
            pub const fn group(self) -> &'static str {
                match self { $(Kind::$kind => $group,)* }
            }

            /// API version within the group, for example `v1`.
            #[must_use]
            pub const fn version(self) -> &'static str {
                match self { $(Kind::$kind => $version,)* }
            }

            /// Plural resource name as in the URL, for example `replicasets`.
            #[must_use]
            pub const fn plural(self) -> &'static str {
                match self { $(Kind::$kind => $plural,)* }
            }

            /// Whether the kind's objects live in a namespace.
            #[must_use]
            pub const fn scope(self) -> Scope {
                match self { $(Kind::$kind => Scope::$scope,)* }
            }
        }

        /// One decoded object.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Object {
            $(#[doc = concat!("A `", stringify!($kind), "`.")] $kind(Box<$kind>),)*
        }

        impl Object {
            /// Decodes the JSON of one object of `kind`.
            ///
            /// # Errors
            /// When the JSON is not an object of that kind; the caller reports it and skips the object.
            pub fn decode(kind: Kind, json: &[u8]) -> Result<Object, DecodeError> {
                match kind {
                    $(Kind::$kind => serde_json::from_slice(json)
                        .map(|object| Object::$kind(Box::new(object)))
                        .map_err(|source| DecodeError { kind, source }),)*
                }
            }

            /// The object as JSON, with `apiVersion` and `kind`.
            #[must_use]
            pub fn to_json(&self) -> serde_json::Value {
                match self {
                    $(Object::$kind(object) => serde_json::to_value(object)
                        .expect("Kubernetes types have string keys and encode"),)*
                }
            }

            /// The object's kind.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $(Object::$kind(_) => Kind::$kind,)* }
            }

            /// The object's metadata.
            #[must_use]
            pub fn metadata(&self) -> &ObjectMeta {
                match self { $(Object::$kind(object) => &object.metadata,)* }
            }

            /// The object's metadata, to change.
            pub fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self { $(Object::$kind(object) => &mut object.metadata,)* }
            }
        }

        $(
            impl From<$kind> for Object {
                fn from(object: $kind) -> Object { Object::$kind(Box::new(object)) }
            }

            impl Typed for $kind {
                const KIND: Kind = Kind::$kind;
                fn of(object: &Object) -> Option<&$kind> {
                    match object { Object::$kind(inner) => Some(inner), _ => None }
                }
            }
        )*
    };
}

/// A Rust type that is one of the [`Kind`]s.
pub trait Typed: Sized {
    /// The kind this type is.
    const KIND: Kind;
    /// The object as this type, if it is one.
    fn of(object: &Object) -> Option<&Self>;
}

kinds! {
    Pod, "", "v1", "pods", Namespaced;
    Node, "", "v1", "nodes", Cluster;
    Namespace, "", "v1", "namespaces", Cluster;
    Service, "", "v1", "services", Namespaced;
    ConfigMap, "", "v1", "configmaps", Namespaced;
    Secret, "", "v1", "secrets", Namespaced;
    ServiceAccount, "", "v1", "serviceaccounts", Namespaced;
    Event, "", "v1", "events", Namespaced;
    PersistentVolume, "", "v1", "persistentvolumes", Cluster;
    PersistentVolumeClaim, "", "v1", "persistentvolumeclaims", Namespaced;
    ResourceQuota, "", "v1", "resourcequotas", Namespaced;
    EndpointSlice, "discovery.k8s.io", "v1", "endpointslices", Namespaced;
    Deployment, "apps", "v1", "deployments", Namespaced;
    ReplicaSet, "apps", "v1", "replicasets", Namespaced;
    Lease, "coordination.k8s.io", "v1", "leases", Namespaced;
    ClusterRole, "rbac.authorization.k8s.io", "v1", "clusterroles", Cluster;
    ClusterRoleBinding, "rbac.authorization.k8s.io", "v1", "clusterrolebindings", Cluster;
    Role, "rbac.authorization.k8s.io", "v1", "roles", Namespaced;
    RoleBinding, "rbac.authorization.k8s.io", "v1", "rolebindings", Namespaced;
}

impl Kind {
    /// `v1` or `group/version`, as in `apiVersion:`.
    #[must_use]
    pub fn api_version(self) -> String {
        if self.group().is_empty() {
            self.version().to_owned()
        } else {
            format!("{}/{}", self.group(), self.version())
        }
    }

    /// Where the store keeps the kind: `pods`, or `apps/deployments`. No version: all versions share one collection.
    #[must_use]
    pub fn collection(self) -> String {
        if self.group().is_empty() {
            self.plural().to_owned()
        } else {
            format!("{}/{}", self.group(), self.plural())
        }
    }

    /// The kind with this `kind:` name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownCollection;

    /// Parses a collection name, the inverse of [`Kind::collection`].
    fn from_str(collection: &str) -> Result<Kind, UnknownCollection> {
        Kind::ALL
            .iter()
            .copied()
            .find(|kind| kind.collection() == collection)
            .ok_or_else(|| UnknownCollection(collection.to_owned()))
    }
}

/// Names one object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The object's kind.
    pub kind: Kind,
    /// Empty for a kind of cluster scope.
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
}

impl ObjectKey {
    /// The key of `kind` `namespace/name`; pass an empty namespace for cluster scope.
    #[must_use]
    pub fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> ObjectKey {
        ObjectKey {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

impl Object {
    /// The key of this object; name and namespace are empty where the metadata has none.
    #[must_use]
    pub fn key(&self) -> ObjectKey {
        let metadata = self.metadata();
        ObjectKey::new(
            self.kind(),
            metadata.namespace.clone().unwrap_or_default(),
            metadata.name.clone().unwrap_or_default(),
        )
    }

    /// `metadata.uid`, empty before the API server has given one.
    #[must_use]
    pub fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }

    /// This object as `T`, if it is one.
    #[must_use]
    pub fn get<T: Typed>(&self) -> Option<&T> {
        T::of(self)
    }
}
