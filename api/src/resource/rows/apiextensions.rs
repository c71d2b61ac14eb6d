//! The rows of `apiextensions.k8s.io`.

use super::{ROW, status};
use crate::{object::Scope, resource::Resource};

const GROUP: &str = "apiextensions.k8s.io";
const DEFINITION: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition";

pub(super) const ROWS: &[Resource] = &[Resource {
    group: GROUP,
    plural: "customresourcedefinitions",
    singular: "customresourcedefinition",
    kind: "CustomResourceDefinition",
    short_names: &["crd", "crds"],
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    subresources: &[status(GROUP, "v1", "CustomResourceDefinition", DEFINITION)],
    definition: DEFINITION,
    counts_generation: true,
    ..ROW
}];
