//! The rows of `policy`.

use super::{ROW, status};
use crate::resource::Resource;

const DISRUPTION_BUDGET: &str = "io.k8s.api.policy.v1.PodDisruptionBudget";

pub(super) const ROWS: &[Resource] = &[Resource {
    group: "policy",
    plural: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    kind: "PodDisruptionBudget",
    short_names: &["pdb"],
    subresources: &[status("policy", "v1", "PodDisruptionBudget", DISRUPTION_BUDGET)],
    definition: DISRUPTION_BUDGET,
    counts_generation: true,
    ..ROW
}];
