//! The rows of `certificates.k8s.io`.

use super::{READ_WRITE, ROW, status};
use crate::{
    object::Scope,
    resource::{Resource, Subresource},
};

const GROUP: &str = "certificates.k8s.io";
const REQUEST: &str = "io.k8s.api.certificates.v1.CertificateSigningRequest";

pub(super) const ROWS: &[Resource] = &[Resource {
    group: GROUP,
    plural: "certificatesigningrequests",
    singular: "certificatesigningrequest",
    kind: "CertificateSigningRequest",
    short_names: &["csr"],
    scope: Scope::Cluster,
    subresources: &[
        Subresource {
            name: "approval",
            group: GROUP,
            version: "v1",
            kind: "CertificateSigningRequest",
            definition: REQUEST,
            verbs: READ_WRITE,
        },
        status(GROUP, "v1", "CertificateSigningRequest", REQUEST),
    ],
    definition: REQUEST,
    selectable_fields: &["spec.signerName"],
    ..ROW
}];
