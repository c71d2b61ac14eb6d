//! The rows of deployments and replica sets.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, joined, list, number, text},
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
    cells.extend(template(item));
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
    cells.extend(template(item));
    cells
}

/// Containers, images and selector.
fn template(item: &Value) -> [Value; 3] {
    let containers = list(item, "/spec/template/spec/containers");
    let field = |pointer: &'static str| json!(joined(containers.iter().map(|container| text(container, pointer))));
    let selector = match LabelSelector::from_value(&item["spec"]["selector"]) {
        Ok(selector) if selector.is_everything() => "<none>".to_owned(),
        Ok(selector) => selector.to_string(),
        Err(_) => "<error>".to_owned(),
    };
    [field("/name"), field("/image"), json!(selector)]
}
