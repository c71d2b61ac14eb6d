//! The rows of what keeps pods running, and of what goes with it.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, joined, labels, list, map, number, text},
};
use crate::selector::LabelSelector;

pub(super) static DEPLOYMENT: Printer = Printer::new(
    &[
        NAME,
        column("Ready", "string", 0),
        column("Up-to-date", "string", 0),
        column("Available", "string", 0),
        AGE,
        column("Containers", "string", 1),
        column("Images", "string", 1),
        column("Selector", "string", 1),
    ],
    deployment,
);

pub(super) static REPLICA_SET: Printer = Printer::new(
    &[
        NAME,
        column("Desired", "integer", 0),
        column("Current", "integer", 0),
        column("Ready", "integer", 0),
        AGE,
        column("Containers", "string", 1),
        column("Images", "string", 1),
        column("Selector", "string", 1),
    ],
    replica_set,
);

pub(super) static DAEMON_SET: Printer = Printer::new(
    &[
        NAME,
        column("Desired", "integer", 0),
        column("Current", "integer", 0),
        column("Ready", "integer", 0),
        column("Up-to-date", "integer", 0),
        column("Available", "integer", 0),
        column("Node Selector", "string", 0),
        AGE,
        column("Containers", "string", 1),
        column("Images", "string", 1),
        column("Selector", "string", 1),
    ],
    daemon_set,
);

pub(super) static STATEFUL_SET: Printer = Printer::new(
    &[
        NAME,
        column("Ready", "string", 0),
        AGE,
        column("Containers", "string", 1),
        column("Images", "string", 1),
    ],
    stateful_set,
);

pub(super) static REPLICATION_CONTROLLER: Printer = Printer::new(
    &[
        NAME,
        column("Desired", "integer", 0),
        column("Current", "integer", 0),
        column("Ready", "integer", 0),
        AGE,
        column("Containers", "string", 1),
        column("Images", "string", 1),
        column("Selector", "string", 1),
    ],
    replication_controller,
);

pub(super) static POD_TEMPLATE: Printer = Printer::new(
    &[
        NAME,
        column("Containers", "string", 0),
        column("Images", "string", 0),
        column("Pod Labels", "string", 0),
    ],
    pod_template,
);

pub(super) static CONTROLLER_REVISION: Printer = Printer::new(
    &[
        NAME,
        column("Controller", "string", 0),
        column("Revision", "string", 0),
        AGE,
    ],
    controller_revision,
);

pub(super) static DISRUPTION_BUDGET: Printer = Printer::new(
    &[
        NAME,
        column("Min Available", "string", 0),
        column("Max Unavailable", "string", 0),
        column("Allowed Disruptions", "integer", 0),
        AGE,
    ],
    disruption_budget,
);

fn deployment(item: &Value, now: Timestamp) -> Vec<Value> {
    let ready = number(item, "/status/readyReplicas");
    let wanted = number(item, "/spec/replicas");
    let mut cells = vec![
        item["metadata"]["name"].clone(),
        json!(format!("{ready}/{wanted}")),
        json!(number(item, "/status/updatedReplicas")),
        json!(number(item, "/status/availableReplicas")),
        age(item, now),
    ];
    cells.extend(template(&item["spec"]));
    cells
}

fn replica_set(item: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        item["metadata"]["name"].clone(),
        json!(number(item, "/spec/replicas")),
        json!(number(item, "/status/replicas")),
        json!(number(item, "/status/readyReplicas")),
        age(item, now),
    ];
    cells.extend(template(&item["spec"]));
    cells
}

/// Containers, images and selector of a workload's spec.
pub(super) fn template(spec: &Value) -> [Value; 3] {
    let [names, images] = containers(&spec["template"]);
    let selector = match LabelSelector::from_value(&spec["selector"]) {
        _ if spec["selector"].is_null() => "<none>".to_owned(),
        Ok(selector) if selector.is_everything() => "<none>".to_owned(),
        Ok(selector) => selector.to_string(),
        Err(_) => "<error>".to_owned(),
    };
    [names, images, json!(selector)]
}

/// Names and images of a template's containers.
fn containers(template: &Value) -> [Value; 2] {
    let containers = list(template, "/spec/containers");
    ["/name", "/image"].map(|pointer| json!(joined(containers.iter().map(|container| text(container, pointer)))))
}

fn daemon_set(item: &Value, now: Timestamp) -> Vec<Value> {
    let count = |field: &str| json!(number(item, &format!("/status/{field}")));
    let mut cells = vec![
        item["metadata"]["name"].clone(),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        json!(labels(map(item, "/spec/template/spec/nodeSelector"))),
        age(item, now),
    ];
    cells.extend(template(&item["spec"]));
    cells
}

fn stateful_set(item: &Value, now: Timestamp) -> Vec<Value> {
    let ready = number(item, "/status/readyReplicas");
    let wanted = number(item, "/spec/replicas");
    let mut cells = vec![
        item["metadata"]["name"].clone(),
        json!(format!("{ready}/{wanted}")),
        age(item, now),
    ];
    cells.extend(containers(&item["spec"]["template"]));
    cells
}

/// As that of a replica set, but selected by plain labels.
fn replication_controller(item: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = replica_set(item, now);
    cells.truncate(5);
    cells.extend(containers(&item["spec"]["template"]));
    cells.push(json!(labels(map(item, "/spec/selector"))));
    cells
}

fn pod_template(item: &Value, _: Timestamp) -> Vec<Value> {
    let mut cells = vec![item["metadata"]["name"].clone()];
    cells.extend(containers(&item["template"]));
    cells.push(json!(labels(map(item, "/template/metadata/labels"))));
    cells
}

fn controller_revision(item: &Value, now: Timestamp) -> Vec<Value> {
    let owner = list(item, "/metadata/ownerReferences")
        .iter()
        .find(|owner| owner["controller"] == true);
    let controller = owner.map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let kind = text(owner, "/kind").to_lowercase();
            let group = text(owner, "/apiVersion")
                .split_once('/')
                .map_or("", |(group, _)| group);
            let dot = if group.is_empty() { "" } else { "." };
            format!("{kind}{dot}{group}/{}", text(owner, "/name"))
        },
    );
    vec![
        item["metadata"]["name"].clone(),
        json!(controller),
        json!(number(item, "/revision")),
        age(item, now),
    ]
}

fn disruption_budget(item: &Value, now: Timestamp) -> Vec<Value> {
    let amount = |field: &str| match &item["spec"][field] {
        Value::String(text) => json!(text),
        Value::Number(number) => json!(number.to_string()),
        _ => json!("N/A"),
    };
    vec![
        item["metadata"]["name"].clone(),
        amount("minAvailable"),
        amount("maxUnavailable"),
        json!(number(item, "/status/disruptionsAllowed")),
        age(item, now),
    ]
}
