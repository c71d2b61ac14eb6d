//! The rows of `authorization.k8s.io`: who may do what.

use super::QUESTION;
use crate::{object::Scope, resource::Resource};

const GROUP: &str = "authorization.k8s.io";

pub(super) const ROWS: &[Resource] = &[
    Resource {
        group: GROUP,
        plural: "localsubjectaccessreviews",
        singular: "localsubjectaccessreview",
        kind: "LocalSubjectAccessReview",
        scope: Scope::Namespaced,
        definition: "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
        ..QUESTION
    },
    Resource {
        group: GROUP,
        plural: "selfsubjectaccessreviews",
        singular: "selfsubjectaccessreview",
        kind: "SelfSubjectAccessReview",
        definition: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
        ..QUESTION
    },
    Resource {
        group: GROUP,
        plural: "selfsubjectrulesreviews",
        singular: "selfsubjectrulesreview",
        kind: "SelfSubjectRulesReview",
        definition: "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
        ..QUESTION
    },
    Resource {
        group: GROUP,
        plural: "subjectaccessreviews",
        singular: "subjectaccessreview",
        kind: "SubjectAccessReview",
        definition: "io.k8s.api.authorization.v1.SubjectAccessReview",
        ..QUESTION
    },
];
