//! The rows of `storage.k8s.io`.

use super::{ROW, status};
use crate::{object::Scope, resource::Resource};

const GROUP: &str = "storage.k8s.io";
const VOLUME_ATTACHMENT: &str = "io.k8s.api.storage.v1.VolumeAttachment";

pub(super) const ROWS: &[Resource] = &[
    Resource {
        group: GROUP,
        plural: "csidrivers",
        singular: "csidriver",
        kind: "CSIDriver",
        scope: Scope::Cluster,
        definition: "io.k8s.api.storage.v1.CSIDriver",
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "csinodes",
        singular: "csinode",
        kind: "CSINode",
        scope: Scope::Cluster,
        definition: "io.k8s.api.storage.v1.CSINode",
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "csistoragecapacities",
        singular: "csistoragecapacity",
        kind: "CSIStorageCapacity",
        definition: "io.k8s.api.storage.v1.CSIStorageCapacity",
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "storageclasses",
        singular: "storageclass",
        kind: "StorageClass",
        short_names: &["sc"],
        scope: Scope::Cluster,
        definition: "io.k8s.api.storage.v1.StorageClass",
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "volumeattachments",
        singular: "volumeattachment",
        kind: "VolumeAttachment",
        scope: Scope::Cluster,
        subresources: &[status(GROUP, "v1", "VolumeAttachment", VOLUME_ATTACHMENT)],
        definition: VOLUME_ATTACHMENT,
        ..ROW
    },
    Resource {
        group: GROUP,
        plural: "volumeattributesclasses",
        singular: "volumeattributesclass",
        kind: "VolumeAttributesClass",
        short_names: &["vac"],
        scope: Scope::Cluster,
        definition: "io.k8s.api.storage.v1.VolumeAttributesClass",
        ..ROW
    },
];
