//! The page of a node.

use jiff::Timestamp;
use serde_json::Value;

use super::{Page, ago};
use crate::client::object::{self, items, pairs, text};

pub(super) fn describe(page: &mut Page, node: &Value, pods: &[Value], now: Timestamp) {
    let (spec, status) = (&node["spec"], &node["status"]);
    let taints: Vec<String> = items(&spec["taints"])
        .iter()
        .map(|taint| {
            let value = taint["value"]
                .as_str()
                .map(|value| format!("={value}"))
                .unwrap_or_default();
            format!("{}{value}:{}", text(&taint["key"]), text(&taint["effect"]))
        })
        .collect();
    page.values(0, "Taints", &taints);
    page.field(
        0,
        "Unschedulable",
        if spec["unschedulable"] == true { "true" } else { "false" },
    );
    let conditions = items(&status["conditions"]).iter().map(|condition| {
        vec![
            text(&condition["type"]),
            text(&condition["status"]),
            ago(&condition["lastHeartbeatTime"], now),
            ago(&condition["lastTransitionTime"], now),
            text(&condition["reason"]),
            text(&condition["message"]),
        ]
    });
    page.table(
        "Conditions",
        &["Type", "Status", "Heartbeat", "Since", "Reason", "Message"],
        conditions.collect(),
    );
    page.line(0, "Addresses:");
    for address in items(&status["addresses"]) {
        page.field(1, &text(&address["type"]), &text(&address["address"]));
    }
    for (title, field) in [("Capacity", "capacity"), ("Allocatable", "allocatable")] {
        page.line(0, &format!("{title}:"));
        for (name, amount) in status[field].as_object().into_iter().flatten() {
            page.field(1, name, &text(amount));
        }
    }
    page.line(0, "System Info:");
    for (name, value) in status["nodeInfo"].as_object().into_iter().flatten() {
        page.field(1, name, &text(value));
    }
    page.values(
        0,
        "PodCIDRs",
        &items(&spec["podCIDRs"]).iter().map(text).collect::<Vec<_>>(),
    );
    let running = pods.iter().map(|pod| {
        let requests = items(&pod["spec"]["containers"])
            .iter()
            .flat_map(|container| pairs(&container["resources"]["requests"]));
        vec![
            object::namespace(pod).to_owned(),
            object::name(pod).to_owned(),
            text(&pod["status"]["phase"]),
            requests.collect::<Vec<_>>().join(","),
            ago(&pod["metadata"]["creationTimestamp"], now),
        ]
    });
    page.table(
        "Pods",
        &["Namespace", "Name", "Status", "Requests", "Age"],
        running.collect(),
    );
}
