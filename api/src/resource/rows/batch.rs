//! The rows of `batch`.

use super::{ROW, status};
use crate::resource::Resource;

const CRON_JOB: &str = "io.k8s.api.batch.v1.CronJob";
const JOB: &str = "io.k8s.api.batch.v1.Job";

pub(super) const ROWS: &[Resource] = &[
    Resource {
        group: "batch",
        plural: "cronjobs",
        singular: "cronjob",
        kind: "CronJob",
        short_names: &["cj"],
        categories: &["all"],
        subresources: &[status("batch", "v1", "CronJob", CRON_JOB)],
        definition: CRON_JOB,
        counts_generation: true,
        ..ROW
    },
    Resource {
        group: "batch",
        plural: "jobs",
        singular: "job",
        kind: "Job",
        categories: &["all"],
        subresources: &[status("batch", "v1", "Job", JOB)],
        definition: JOB,
        selectable_fields: &["status.successful"],
        counts_generation: true,
        ..ROW
    },
];
