//! The rows of horizontal pod autoscalers, and of what they scale.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, list, number, quantity, text},
};

/// Most metrics that are named.
const NAMED_MAX: usize = 2;
const UNKNOWN: &str = "<unknown>";

pub(super) static AUTOSCALER: Printer = Printer::new(
    &[
        NAME,
        column("Reference", "string", 0),
        column("Targets", "string", 0),
        column("MinPods", "string", 0),
        column("MaxPods", "string", 0),
        column("Replicas", "string", 0),
        AGE,
    ],
    cells,
);

/// How many replicas something shall have, and has.
pub(super) static SCALE: Printer = Printer::new(
    &[
        NAME,
        column("Desired", "integer", 0),
        column("Available", "integer", 0),
        AGE,
    ],
    |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            json!(number(item, "/spec/replicas")),
            json!(number(item, "/status/replicas")),
            age(item, now),
        ]
    },
);

fn cells(item: &Value, now: Timestamp) -> Vec<Value> {
    let reference = |field: &str| text(item, &format!("/spec/scaleTargetRef/{field}")).to_owned();
    let least = match item["spec"]["minReplicas"].as_i64() {
        Some(number) => number.to_string(),
        None => "<unset>".to_owned(),
    };
    vec![
        item["metadata"]["name"].clone(),
        json!(format!("{}/{}", reference("kind"), reference("name"))),
        json!(targets(item)),
        json!(least),
        json!(number(item, "/spec/maxReplicas")),
        json!(number(item, "/status/currentReplicas")),
        age(item, now),
    ]
}

/// `cpu: 10%/80%, 5/10 + 2 more...`: where each metric is and where it shall be.
fn targets(item: &Value) -> String {
    let metrics = list(item, "/spec/metrics");
    if metrics.is_empty() {
        return "<none>".to_owned();
    }
    let states = list(item, "/status/currentMetrics");
    let shown: Vec<String> = metrics
        .iter()
        .take(NAMED_MAX)
        .enumerate()
        .map(|(index, metric)| target(metric, states.get(index).unwrap_or(&Value::Null)))
        .collect();
    let shown = shown.join(", ");
    match metrics.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

fn target(metric: &Value, state: &Value) -> String {
    let source = match text(metric, "/type") {
        "External" => "external",
        "Pods" => "pods",
        "Object" => "object",
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        _ => return "<unknown type>".to_owned(),
    };
    let (wanted, current) = (&metric[source]["target"], &state[source]["current"]);
    let value = |field: &str| {
        let now = match quantity(current, &format!("/{field}")) {
            now if now.is_empty() => UNKNOWN.to_owned(),
            now => now,
        };
        format!("{now}/{}", quantity(wanted, &format!("/{field}")))
    };
    let has_average = !wanted["averageValue"].is_null();
    match source {
        "resource" | "containerResource" => {
            let name = text(&metric[source], "/name");
            if has_average {
                return format!("{name}: {}", value("averageValue"));
            }
            let percent = |value: &Value, none: &str| match value["averageUtilization"].as_i64() {
                Some(number) => format!("{number}%"),
                None => none.to_owned(),
            };
            format!("{name}: {}/{}", percent(current, UNKNOWN), percent(wanted, "<auto>"))
        }
        "pods" => value("averageValue"),
        _ if has_average => format!("{} (avg)", value("averageValue")),
        _ => value("value"),
    }
}
