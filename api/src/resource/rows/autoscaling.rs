//! The rows of `autoscaling`: one collection in two versions, the preferred one first.

use super::{ROW, status};
use crate::resource::{Resource, Stored};

const V1: &str = "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler";
const V2: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler";

pub(super) const ROWS: &[Resource] = &[
    Resource {
        version: "v2",
        subresources: &[status("autoscaling", "v2", "HorizontalPodAutoscaler", V2)],
        definition: V2,
        ..AUTOSCALER
    },
    Resource {
        version: "v1",
        subresources: &[status("autoscaling", "v1", "HorizontalPodAutoscaler", V1)],
        definition: V1,
        stored_as: Some(Stored {
            group: "autoscaling",
            version: "v2",
        }),
        ..AUTOSCALER
    },
];

const AUTOSCALER: Resource = Resource {
    group: "autoscaling",
    plural: "horizontalpodautoscalers",
    singular: "horizontalpodautoscaler",
    kind: "HorizontalPodAutoscaler",
    short_names: &["hpa"],
    categories: &["all"],
    ..ROW
};
