//! The rows of `apiregistration.k8s.io`.

use super::{ROW, status};
use crate::{object::Scope, resource::Resource};

const GROUP: &str = "apiregistration.k8s.io";
const API_SERVICE: &str = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService";

pub(super) const ROWS: &[Resource] = &[Resource {
    group: GROUP,
    plural: "apiservices",
    singular: "apiservice",
    kind: "APIService",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    subresources: &[status(GROUP, "v1", "APIService", API_SERVICE)],
    definition: API_SERVICE,
    ..ROW
}];
