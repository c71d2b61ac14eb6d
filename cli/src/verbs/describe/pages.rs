//! The page that a description is written on: names left, values right, sections moved in.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{ago, indented};
use crate::{client::object, terminal::TextTable};

/// Column in which values begin, as in kubectl's descriptions of most kinds.
const VALUES_AT: usize = 18;

/// Text being written.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl fmt::Display for Page {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Page {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A line of its own.
    pub(super) fn line(&mut self, depth: usize, text: &str) {
        self.text.push_str(&format!("{}{text}\n", "  ".repeat(depth)));
    }

    /// A name and its value. An empty value is said to be none.
    pub(super) fn field(&mut self, depth: usize, name: &str, value: &str) {
        let value = if value.is_empty() { "<none>" } else { value };
        let margin = "  ".repeat(depth);
        let width = VALUES_AT.saturating_sub(margin.len());
        self.text
            .push_str(&format!("{margin}{:<width$} {value}\n", format!("{name}:")));
    }

    /// A name and several values, one to a line.
    pub(super) fn values(&mut self, depth: usize, name: &str, values: &[String]) {
        let mut values = values.iter();
        self.field(depth, name, values.next().map(String::as_str).unwrap_or_default());
        for value in values {
            self.text.push_str(&format!("{:VALUES_AT$} {value}\n", ""));
        }
    }

    /// A table under a heading; "<none>" if it has no rows.
    pub(super) fn table(&mut self, name: &str, headings: &[&str], rows: Vec<Vec<String>>) {
        if rows.is_empty() {
            self.field(0, name, "");
            return;
        }
        self.line(0, &format!("{name}:"));
        let mut table = TextTable::new(headings);
        table.row(headings.iter().map(|heading| "-".repeat(heading.len())).collect());
        rows.into_iter().for_each(|row| table.row(row));
        self.text.push_str(&indented(&table, 2));
    }

    /// What every description begins with.
    pub(super) fn heading(&mut self, described: &Value) {
        self.field(0, "Name", object::name(described));
        let namespace = object::namespace(described);
        if !namespace.is_empty() {
            self.field(0, "Namespace", namespace);
        }
        self.values(0, "Labels", &object::pairs(&described["metadata"]["labels"]));
        let shown = |pair: &String| !pair.starts_with("kubectl.kubernetes.io/last-applied-configuration");
        let annotations: Vec<String> = object::pairs(&described["metadata"]["annotations"])
            .into_iter()
            .filter(shown)
            .collect();
        self.values(0, "Annotations", &annotations);
        self.field(0, "Created", &object::text(&described["metadata"]["creationTimestamp"]));
        if let Some(time) = described["metadata"]["deletionTimestamp"].as_str() {
            self.field(0, "Deleted", time);
        }
        for owner in object::items(&described["metadata"]["ownerReferences"]) {
            if owner["controller"] == true {
                self.field(
                    0,
                    "Controlled By",
                    &format!("{}/{}", object::text(&owner["kind"]), object::text(&owner["name"])),
                );
            }
        }
    }

    /// Conditions, with the reason when there is one.
    pub(super) fn conditions(&mut self, described: &Value) {
        let rows = object::items(&described["status"]["conditions"])
            .iter()
            .map(|condition| {
                ["type", "status", "reason", "message"]
                    .iter()
                    .map(|field| object::text(&condition[*field]))
                    .collect()
            });
        self.table("Conditions", &["Type", "Status", "Reason", "Message"], rows.collect());
    }

    /// The ports of a container.
    pub(super) fn container_ports(&mut self, container: &Value) {
        let ports: Vec<String> = object::items(&container["ports"])
            .iter()
            .map(|port| {
                let protocol = port["protocol"].as_str().unwrap_or("TCP");
                format!("{}/{protocol}", object::text(&port["containerPort"]))
            })
            .collect();
        self.field(2, "Ports", &ports.join(", "));
    }

    /// Names and values, the values as they are.
    pub(super) fn texts(&mut self, name: &str, data: &Value) {
        self.line(0, &format!("{name}:"));
        for (key, value) in data.as_object().into_iter().flatten() {
            self.line(1, &format!("{key}:"));
            object::text(value).lines().for_each(|line| self.line(2, line));
        }
    }

    /// Names and lengths of values that are not to be shown.
    pub(super) fn sizes(&mut self, name: &str, data: &Value) {
        self.line(0, &format!("{name}:"));
        for (key, value) in data.as_object().into_iter().flatten() {
            let encoded = value.as_str().unwrap_or_default();
            let padding = encoded.bytes().rev().take_while(|byte| *byte == b'=').count();
            self.field(
                1,
                key,
                &format!("{} bytes", (encoded.len() / 4 * 3).saturating_sub(padding)),
            );
        }
    }

    /// All that has no page of its own: the fields beside the metadata, moved in.
    pub(super) fn rest(&mut self, described: &Value) {
        for (key, value) in described.as_object().into_iter().flatten() {
            if key != "metadata" {
                self.tree(0, key, value);
            }
        }
    }

    fn tree(&mut self, depth: usize, name: &str, value: &Value) {
        let title = spaced(name);
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.line(depth, &format!("{title}:"));
                self.branches(depth + 1, map);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                self.line(depth, &format!("{title}:"));
                for (index, item) in items.iter().enumerate() {
                    match item {
                        Value::Object(map) => self.branches(depth + 1, map),
                        other => self.line(depth + 1, &object::text(other)),
                    }
                    if index + 1 < items.len() {
                        self.line(depth + 1, "---");
                    }
                }
            }
            Value::Array(items) => self.values(depth, &title, &items.iter().map(object::text).collect::<Vec<_>>()),
            Value::String(text) if text.contains('\n') => {
                self.line(depth, &format!("{title}:"));
                text.lines().for_each(|line| self.line(depth + 1, line));
            }
            other => self.field(depth, &title, &object::text(other)),
        }
    }

    fn branches(&mut self, depth: usize, map: &Map<String, Value>) {
        map.iter().for_each(|(key, value)| self.tree(depth, key, value));
    }

    /// Events, oldest first.
    pub(super) fn events(&mut self, events: &[Value], now: Timestamp) {
        let rows = events.iter().map(|event| {
            let count = event["count"].as_u64().unwrap_or(1);
            let last = Value::from(time_of_event(event));
            let age = if count > 1 {
                format!(
                    "{} (x{count} over {})",
                    ago(&last, now),
                    ago(&event["firstTimestamp"], now)
                )
            } else {
                ago(&last, now)
            };
            let from = [&event["source"]["component"], &event["reportingComponent"]]
                .into_iter()
                .map(object::text)
                .find(|text| !text.is_empty());
            vec![
                object::text(&event["type"]),
                object::text(&event["reason"]),
                age,
                from.unwrap_or_default(),
                object::text(&event["message"]).trim().to_owned(),
            ]
        });
        self.table("Events", &["Type", "Reason", "Age", "From", "Message"], rows.collect());
    }
}

/// When an event happened last.
pub(super) fn time_of_event(event: &Value) -> String {
    let times = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["eventTime"],
        &event["firstTimestamp"],
        &event["metadata"]["creationTimestamp"],
    ];
    times
        .into_iter()
        .map(object::text)
        .find(|time| !time.is_empty())
        .unwrap_or_default()
}

/// "readyReplicas" becomes "Ready Replicas"; what is no name of a field stays.
fn spaced(name: &str) -> String {
    if !name.starts_with(|letter: char| letter.is_ascii_lowercase())
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        return name.to_owned();
    }
    let mut spaced = String::new();
    for (index, letter) in name.chars().enumerate() {
        if index == 0 {
            spaced.extend(letter.to_uppercase());
            continue;
        }
        if letter.is_ascii_uppercase() && !spaced.ends_with(|last: char| last.is_ascii_uppercase()) {
            spaced.push(' ');
        }
        spaced.push(letter);
    }
    spaced
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_fields_are_spaced() {
        for (name, expected) in [
            ("readyReplicas", "Ready Replicas"),
            ("podIP", "Pod IP"),
            ("spec", "Spec"),
            ("my-key", "my-key"),
            ("Key", "Key"),
        ] {
            assert_eq!(spaced(name), expected);
        }
    }

    #[test]
    fn a_page_of_an_unknown_kind_shows_all_fields() {
        let mut page = Page::new();
        page.rest(&json!({"metadata": {"name": "a"}, "data": {"k": "one\ntwo"}, "list": [{"a": 1}, {"a": 2}]}));
        let expected = "Data:\n  K:\n    one\n    two\nList:\n  A:               1\n  ---\n  A:               2\n";
        assert_eq!(page.to_string(), expected);
    }
}
