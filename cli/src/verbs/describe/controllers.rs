//! The pages of deployments and replica sets.

use serde_json::Value;

use super::Page;
use crate::client::object::{items, name, pairs, text};

pub(super) fn describe_deployment(page: &mut Page, deployment: &Value, sets: &[Value]) {
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    page.field(0, "Selector", &pairs(&spec["selector"]["matchLabels"]).join(","));
    let count = |field: &str| status[field].as_u64().unwrap_or_default();
    page.field(
        0,
        "Replicas",
        &format!(
            "{} desired | {} updated | {} total | {} available | {} unavailable",
            spec["replicas"].as_u64().unwrap_or(1),
            count("updatedReplicas"),
            count("replicas"),
            count("availableReplicas"),
            count("unavailableReplicas")
        ),
    );
    page.field(0, "StrategyType", &text(&spec["strategy"]["type"]));
    page.field(
        0,
        "MinReadySeconds",
        &spec["minReadySeconds"].as_u64().unwrap_or_default().to_string(),
    );
    let rolling = &spec["strategy"]["rollingUpdate"];
    if rolling.is_object() {
        let strategy = format!(
            "{} max unavailable, {} max surge",
            text(&rolling["maxUnavailable"]),
            text(&rolling["maxSurge"])
        );
        page.field(0, "RollingUpdate", &strategy);
    }
    describe_template(page, &spec["template"]);
    page.conditions(deployment);
    let shown = |set: &Value| {
        let (replicas, wanted) = (set["status"]["replicas"].as_u64(), set["spec"]["replicas"].as_u64());
        format!(
            "{} ({}/{} replicas created)",
            name(set),
            replicas.unwrap_or_default(),
            wanted.unwrap_or_default()
        )
    };
    let has_pods = |set: &&Value| set["spec"]["replicas"].as_u64().unwrap_or_default() > 0;
    page.values(
        0,
        "ReplicaSets",
        &sets.iter().filter(has_pods).map(shown).collect::<Vec<_>>(),
    );
    page.values(
        0,
        "OldReplicaSets",
        &sets.iter().filter(|set| !has_pods(set)).map(shown).collect::<Vec<_>>(),
    );
}

pub(super) fn describe_replica_set(page: &mut Page, set: &Value, pods: &[Value]) {
    let spec = &set["spec"];
    page.field(0, "Selector", &pairs(&spec["selector"]["matchLabels"]).join(","));
    let current = set["status"]["replicas"].as_u64().unwrap_or_default();
    page.field(
        0,
        "Replicas",
        &format!("{current} current / {} desired", spec["replicas"].as_u64().unwrap_or(1)),
    );
    let in_phase = |phase: &str| pods.iter().filter(|pod| pod["status"]["phase"] == phase).count();
    page.field(
        0,
        "Pods Status",
        &format!(
            "{} Running / {} Waiting / {} Succeeded / {} Failed",
            in_phase("Running"),
            in_phase("Pending"),
            in_phase("Succeeded"),
            in_phase("Failed")
        ),
    );
    describe_template(page, &spec["template"]);
    page.conditions(set);
}

fn describe_template(page: &mut Page, template: &Value) {
    page.line(0, "Pod Template:");
    page.field(1, "Labels", &pairs(&template["metadata"]["labels"]).join(","));
    for container in items(&template["spec"]["containers"]) {
        page.line(1, &format!("Container {}:", text(&container["name"])));
        page.field(2, "Image", &text(&container["image"]));
        page.container_ports(container);
        for (title, field) in [("Requests", "requests"), ("Limits", "limits")] {
            let amounts = pairs(&container["resources"][field]);
            if !amounts.is_empty() {
                page.field(2, title, &amounts.join(","));
            }
        }
    }
}
