//! The rows of `authentication.k8s.io`: who somebody is.

use super::QUESTION;
use crate::resource::Resource;

pub(super) const ROWS: &[Resource] = &[
    Resource {
        group: "authentication.k8s.io",
        plural: "selfsubjectreviews",
        singular: "selfsubjectreview",
        kind: "SelfSubjectReview",
        definition: "io.k8s.api.authentication.v1.SelfSubjectReview",
        ..QUESTION
    },
    Resource {
        group: "authentication.k8s.io",
        plural: "tokenreviews",
        singular: "tokenreview",
        kind: "TokenReview",
        definition: "io.k8s.api.authentication.v1.TokenReview",
        ..QUESTION
    },
];
