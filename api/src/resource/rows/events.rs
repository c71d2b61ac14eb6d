//! The rows of `events.k8s.io`: the core group's events under another name and in another form.

use super::ROW;
use crate::resource::{Resource, Stored};

pub(super) const ROWS: &[Resource] = &[Resource {
    group: "events.k8s.io",
    plural: "events",
    singular: "event",
    kind: "Event",
    short_names: &["ev"],
    definition: "io.k8s.api.events.v1.Event",
    selectable_fields: &[
        "reason",
        "regarding.apiVersion",
        "regarding.fieldPath",
        "regarding.kind",
        "regarding.name",
        "regarding.namespace",
        "regarding.resourceVersion",
        "regarding.uid",
        "reportingController",
        "type",
    ],
    stored_as: Some(Stored {
        group: "",
        version: "v1",
    }),
    ..ROW
}];
