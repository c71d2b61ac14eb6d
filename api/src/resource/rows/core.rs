//! The rows of the core group.

use super::{CREATE, NO_COLLECTION_DELETE, READ, READ_WRITE, ROW, SCALE, status};
use crate::{
    object::Scope,
    resource::{Resource, Subresource},
};

const POD: &str = "io.k8s.api.core.v1.Pod";
const NODE: &str = "io.k8s.api.core.v1.Node";
const NAMESPACE: &str = "io.k8s.api.core.v1.Namespace";
const CLAIM: &str = "io.k8s.api.core.v1.PersistentVolumeClaim";
const CONTROLLER: &str = "io.k8s.api.core.v1.ReplicationController";
const QUOTA: &str = "io.k8s.api.core.v1.ResourceQuota";
const SERVICE: &str = "io.k8s.api.core.v1.Service";
const VOLUME: &str = "io.k8s.api.core.v1.PersistentVolume";

const PROXY_VERBS: &[&str] = &["create", "delete", "get", "patch", "update"];

/// A path at which a connection becomes a stream; what is wanted stands in its query.
const fn stream(name: &'static str, kind: &'static str) -> Subresource {
    Subresource {
        name,
        group: "",
        version: "v1",
        kind,
        definition: "",
        verbs: &["create", "get"],
    }
}

/// A part of a pod's spec that changes by a path of its own.
const fn part(name: &'static str) -> Subresource {
    Subresource {
        name,
        group: "",
        version: "v1",
        kind: "Pod",
        definition: POD,
        verbs: READ_WRITE,
    }
}

pub(super) const ROWS: &[Resource] = &[
    Resource {
        plural: "bindings",
        singular: "binding",
        kind: "Binding",
        verbs: CREATE,
        definition: "io.k8s.api.core.v1.Binding",
        ..ROW
    },
    Resource {
        plural: "componentstatuses",
        singular: "componentstatus",
        kind: "ComponentStatus",
        short_names: &["cs"],
        scope: Scope::Cluster,
        verbs: READ,
        definition: "io.k8s.api.core.v1.ComponentStatus",
        ..ROW
    },
    Resource {
        plural: "configmaps",
        singular: "configmap",
        kind: "ConfigMap",
        short_names: &["cm"],
        definition: "io.k8s.api.core.v1.ConfigMap",
        ..ROW
    },
    Resource {
        plural: "endpoints",
        singular: "endpoints",
        kind: "Endpoints",
        short_names: &["ep"],
        definition: "io.k8s.api.core.v1.Endpoints",
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
        plural: "limitranges",
        singular: "limitrange",
        kind: "LimitRange",
        short_names: &["limits"],
        definition: "io.k8s.api.core.v1.LimitRange",
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
        plural: "persistentvolumeclaims",
        singular: "persistentvolumeclaim",
        kind: "PersistentVolumeClaim",
        short_names: &["pvc"],
        subresources: &[status("", "v1", "PersistentVolumeClaim", CLAIM)],
        definition: CLAIM,
        ..ROW
    },
    Resource {
        plural: "persistentvolumes",
        singular: "persistentvolume",
        kind: "PersistentVolume",
        short_names: &["pv"],
        scope: Scope::Cluster,
        subresources: &[status("", "v1", "PersistentVolume", VOLUME)],
        definition: VOLUME,
        ..ROW
    },
    Resource {
        plural: "pods",
        singular: "pod",
        kind: "Pod",
        short_names: &["po"],
        categories: &["all"],
        subresources: &[
            stream("attach", "PodAttachOptions"),
            Subresource {
                name: "binding",
                group: "",
                version: "v1",
                kind: "Binding",
                definition: "io.k8s.api.core.v1.Binding",
                verbs: &["create"],
            },
            part("ephemeralcontainers"),
            Subresource {
                name: "eviction",
                group: "policy",
                version: "v1",
                kind: "Eviction",
                definition: "io.k8s.api.policy.v1.Eviction",
                verbs: &["create"],
            },
            stream("exec", "PodExecOptions"),
            Subresource {
                name: "log",
                group: "",
                version: "v1",
                kind: "Pod",
                definition: POD,
                verbs: &["get"],
            },
            stream("portforward", "PodPortForwardOptions"),
            Subresource {
                verbs: PROXY_VERBS,
                ..stream("proxy", "PodProxyOptions")
            },
            part("resize"),
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
        plural: "podtemplates",
        singular: "podtemplate",
        kind: "PodTemplate",
        definition: "io.k8s.api.core.v1.PodTemplate",
        counts_generation: true,
        ..ROW
    },
    Resource {
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        kind: "ReplicationController",
        short_names: &["rc"],
        categories: &["all"],
        subresources: &[SCALE, status("", "v1", "ReplicationController", CONTROLLER)],
        definition: CONTROLLER,
        selectable_fields: &["status.replicas"],
        counts_generation: true,
        ..ROW
    },
    Resource {
        plural: "resourcequotas",
        singular: "resourcequota",
        kind: "ResourceQuota",
        short_names: &["quota"],
        subresources: &[status("", "v1", "ResourceQuota", QUOTA)],
        definition: QUOTA,
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
        subresources: &[Subresource {
            name: "token",
            group: "authentication.k8s.io",
            version: "v1",
            kind: "TokenRequest",
            definition: "io.k8s.api.authentication.v1.TokenRequest",
            verbs: &["create"],
        }],
        definition: "io.k8s.api.core.v1.ServiceAccount",
        ..ROW
    },
    Resource {
        plural: "services",
        singular: "service",
        kind: "Service",
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[
            Subresource {
                verbs: PROXY_VERBS,
                ..stream("proxy", "ServiceProxyOptions")
            },
            status("", "v1", "Service", SERVICE),
        ],
        definition: SERVICE,
        selectable_fields: &["spec.clusterIP", "spec.type"],
        ..ROW
    },
];
