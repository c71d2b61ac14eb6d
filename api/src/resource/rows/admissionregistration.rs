//! The rows of `admissionregistration.k8s.io`.

use super::{ROW, status};
use crate::{object::Scope, resource::Resource};

const GROUP: &str = "admissionregistration.k8s.io";
const VALIDATING_POLICY: &str = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy";

/// What the rows of the group share.
const SHARED: Resource = Resource {
    group: GROUP,
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    counts_generation: true,
    ..ROW
};

pub(super) const ROWS: &[Resource] = &[
    Resource {
        plural: "mutatingadmissionpolicies",
        singular: "mutatingadmissionpolicy",
        kind: "MutatingAdmissionPolicy",
        definition: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
        ..SHARED
    },
    Resource {
        plural: "mutatingadmissionpolicybindings",
        singular: "mutatingadmissionpolicybinding",
        kind: "MutatingAdmissionPolicyBinding",
        definition: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
        ..SHARED
    },
    Resource {
        plural: "mutatingwebhookconfigurations",
        singular: "mutatingwebhookconfiguration",
        kind: "MutatingWebhookConfiguration",
        definition: "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
        ..SHARED
    },
    Resource {
        plural: "validatingadmissionpolicies",
        singular: "validatingadmissionpolicy",
        kind: "ValidatingAdmissionPolicy",
        subresources: &[status(GROUP, "v1", "ValidatingAdmissionPolicy", VALIDATING_POLICY)],
        definition: VALIDATING_POLICY,
        ..SHARED
    },
    Resource {
        plural: "validatingadmissionpolicybindings",
        singular: "validatingadmissionpolicybinding",
        kind: "ValidatingAdmissionPolicyBinding",
        definition: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
        ..SHARED
    },
    Resource {
        plural: "validatingwebhookconfigurations",
        singular: "validatingwebhookconfiguration",
        kind: "ValidatingWebhookConfiguration",
        definition: "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
        ..SHARED
    },
];
