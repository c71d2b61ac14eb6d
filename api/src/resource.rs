//! The table of kinds the API serves: one [`Resource`] per row, with everything a generic engine must know of it.
//!
//! Never here: behaviour that depends on an object's contents; that is in `defaulting`, `validation` and `table`,
//! which choose by [`Resource::kind`]. A further kind is a further row.
//! Source: the API reference (v1.36) and the discovery documents of a v1.36 server.

use crate::object::Scope;

/// One kind as clients address it.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group, for example `v1`.
    pub version: &'static str,
    /// Name in the URL, for example `pods`.
    pub plural: &'static str,
    /// Singular name that clients accept, for example `pod`.
    pub singular: &'static str,
    /// Name in `kind:`, for example `Pod`.
    pub kind: &'static str,
    /// Abbreviations that clients accept, for example `po`.
    pub short_names: &'static [&'static str],
    /// Groups of kinds that clients accept in place of a kind, for example `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub scope: Scope,
    /// Verbs served, sorted.
    pub verbs: &'static [&'static str],
    /// Further paths below an object, sorted by name.
    pub subresources: &'static [Subresource],
    /// Name of the kind's type in the schema, for example `io.k8s.api.core.v1.Pod`.
    pub definition: &'static str,
    /// Fields that field selectors may name beside `metadata.name` and `metadata.namespace`.
    pub selectable_fields: &'static [&'static str],
    /// Whether `metadata.generation` counts the changes of what the user asks for.
    pub counts_generation: bool,
}

/// A path below an object, for example `status`.
#[derive(Debug, PartialEq, Eq)]
pub struct Subresource {
    /// Last part of the path.
    pub name: &'static str,
    /// Group of what the path reads and writes.
    pub group: &'static str,
    /// Version of what the path reads and writes.
    pub version: &'static str,
    /// Kind of what the path reads and writes.
    pub kind: &'static str,
    /// Name of that kind's type in the schema.
    pub definition: &'static str,
    /// Verbs served, sorted.
    pub verbs: &'static [&'static str],
}

impl Resource {
    /// `v1` or `group/version`, as in `apiVersion:`.
    #[must_use]
    pub fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// Where the store keeps the kind: `pods`, or `apps/deployments`. No version: all versions share one collection.
    #[must_use]
    pub fn collection(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}/{}", self.group, self.plural)
        }
    }

    /// Kind of a list of these, for example `PodList`.
    #[must_use]
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// `pods`, or `deployments.apps`: how messages name the kind.
    #[must_use]
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether objects live in a namespace.
    #[must_use]
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// The subresource with this name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// Whether spec and status are written through different paths.
    #[must_use]
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }
}

/// `v1` or `group/version`, as in `apiVersion:`.
#[must_use]
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// Every row, grouped by group and version, the core group first.
#[must_use]
pub fn resources() -> &'static [Resource] {
    RESOURCES
}

/// The row at `/api/{version}/{plural}` (empty group) or `/apis/{group}/{version}/{plural}`.
#[must_use]
pub fn by_path(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|row| row.plural == plural && row.group == group && row.version == version)
}

/// The row of a kind.
#[must_use]
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Resource> {
    RESOURCES
        .iter()
        .find(|row| row.kind == kind && row.group == group && row.version == version)
}

/// The row of a kind by its `apiVersion` and `kind`.
#[must_use]
pub fn by_api_version(api_version: &str, kind: &str) -> Option<&'static Resource> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    by_kind(group, version, kind)
}

/// The row of a collection name, the inverse of [`Resource::collection`]; the preferred version where there are more.
#[must_use]
pub fn by_collection(collection: &str) -> Option<&'static Resource> {
    let (group, plural) = collection.rsplit_once('/').unwrap_or(("", collection));
    RESOURCES.iter().find(|row| row.plural == plural && row.group == group)
}

/// Group and version of every row, each once, in the order of the table.
#[must_use]
pub fn group_versions() -> Vec<(&'static str, &'static str)> {
    let mut seen = Vec::new();
    for row in RESOURCES {
        if !seen.contains(&(row.group, row.version)) {
            seen.push((row.group, row.version));
        }
    }
    seen
}

const ALL_VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
/// Namespaces go one by one, each through its own life cycle.
const NO_COLLECTION_DELETE: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const READ_WRITE: &[&str] = &["get", "patch", "update"];

/// The `status` path of a kind.
const fn status(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    definition: &'static str,
) -> Subresource {
    Subresource {
        name: "status",
        group,
        version,
        kind,
        definition,
        verbs: READ_WRITE,
    }
}

const SCALE: Subresource = Subresource {
    name: "scale",
    group: "autoscaling",
    version: "v1",
    kind: "Scale",
    definition: "io.k8s.api.autoscaling.v1.Scale",
    verbs: READ_WRITE,
};

/// What most rows share; a row names what differs.
const ROW: Resource = Resource {
    group: "",
    version: "v1",
    plural: "",
    singular: "",
    kind: "",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: ALL_VERBS,
    subresources: &[],
    definition: "",
    selectable_fields: &[],
    counts_generation: false,
};

const POD: &str = "io.k8s.api.core.v1.Pod";
const NODE: &str = "io.k8s.api.core.v1.Node";
const NAMESPACE: &str = "io.k8s.api.core.v1.Namespace";
const SERVICE: &str = "io.k8s.api.core.v1.Service";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const REPLICA_SET: &str = "io.k8s.api.apps.v1.ReplicaSet";

static RESOURCES: &[Resource] = &[
    Resource {
        plural: "configmaps",
        singular: "configmap",
        kind: "ConfigMap",
        short_names: &["cm"],
        definition: "io.k8s.api.core.v1.ConfigMap",
        ..ROW
    },
    Resource {
        plural: "events",
        singular: "event",
        kind: "Event",
        short_names: &["ev"],
        definition: "io.k8s.api.core.v1.Event",
        selectable_fields: &[
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ..ROW
    },
    Resource {
        plural: "namespaces",
        singular: "namespace",
        kind: "Namespace",
        short_names: &["ns"],
        scope: Scope::Cluster,
        verbs: NO_COLLECTION_DELETE,
        subresources: &[
            Subresource {
                name: "finalize",
                group: "",
                version: "v1",
                kind: "Namespace",
                definition: NAMESPACE,
                verbs: &["update"],
            },
            status("", "v1", "Namespace", NAMESPACE),
        ],
        definition: NAMESPACE,
        selectable_fields: &["name", "status.phase"],
        ..ROW
    },
    Resource {
        plural: "nodes",
        singular: "node",
        kind: "Node",
        short_names: &["no"],
        scope: Scope::Cluster,
        subresources: &[status("", "v1", "Node", NODE)],
        definition: NODE,
        selectable_fields: &["spec.unschedulable"],
        ..ROW
    },
    Resource {
        plural: "pods",
        singular: "pod",
        kind: "Pod",
        short_names: &["po"],
        categories: &["all"],
        subresources: &[
            Subresource {
                name: "binding",
                group: "",
                version: "v1",
                kind: "Binding",
                definition: "io.k8s.api.core.v1.Binding",
                verbs: &["create"],
            },
            Subresource {
                name: "eviction",
                group: "policy",
                version: "v1",
                kind: "Eviction",
                definition: "io.k8s.api.policy.v1.Eviction",
                verbs: &["create"],
            },
            Subresource {
                name: "log",
                group: "",
                version: "v1",
                kind: "Pod",
                definition: POD,
                verbs: &["get"],
            },
            status("", "v1", "Pod", POD),
        ],
        definition: POD,
        selectable_fields: &[
            "spec.hostNetwork",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.nominatedNodeName",
            "status.phase",
            "status.podIP",
        ],
        counts_generation: true,
        ..ROW
    },
    Resource {
        plural: "secrets",
        singular: "secret",
        kind: "Secret",
        definition: "io.k8s.api.core.v1.Secret",
        selectable_fields: &["type"],
        ..ROW
    },
    Resource {
        plural: "serviceaccounts",
        singular: "serviceaccount",
        kind: "ServiceAccount",
        short_names: &["sa"],
        definition: "io.k8s.api.core.v1.ServiceAccount",
        ..ROW
    },
    Resource {
        plural: "services",
        singular: "service",
        kind: "Service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[status("", "v1", "Service", SERVICE)],
        definition: SERVICE,
        selectable_fields: &["spec.clusterIP", "spec.type"],
        ..ROW
    },
    Resource {
        group: "apps",
        plural: "deployments",
        singular: "deployment",
        kind: "Deployment",
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[SCALE, status("apps", "v1", "Deployment", DEPLOYMENT)],
        definition: DEPLOYMENT,
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: "apps",
        plural: "replicasets",
        singular: "replicaset",
        kind: "ReplicaSet",
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[SCALE, status("apps", "v1", "ReplicaSet", REPLICA_SET)],
        definition: REPLICA_SET,
        selectable_fields: &["status.replicas"],
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: "coordination.k8s.io",
        plural: "leases",
        singular: "lease",
        kind: "Lease",
        definition: "io.k8s.api.coordination.v1.Lease",
        ..ROW
    },
    Resource {
        group: "discovery.k8s.io",
        plural: "endpointslices",
        singular: "endpointslice",
        kind: "EndpointSlice",
        definition: "io.k8s.api.discovery.v1.EndpointSlice",
        counts_generation: true,
        ..ROW
    },
];

#[cfg(test)]
mod tests;
