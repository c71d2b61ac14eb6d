//! The rows of roles and of what binds them.

use serde_json::{Value, json};

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, list, text},
};

pub(super) static ROLE: Printer = Printer::new(&[NAME, column("Created At", "string", 0)], |item, _| {
    vec![
        item["metadata"]["name"].clone(),
        item["metadata"]["creationTimestamp"].clone(),
    ]
});

pub(super) static BINDING: Printer = Printer::new(
    &[
        NAME,
        column("Role", "string", 0),
        AGE,
        column("Users", "string", 1),
        column("Groups", "string", 1),
        column("ServiceAccounts", "string", 1),
    ],
    |item, now| {
        let role = format!("{}/{}", text(item, "/roleRef/kind"), text(item, "/roleRef/name"));
        vec![
            item["metadata"]["name"].clone(),
            json!(role),
            age(item, now),
            json!(subjects(item, "User")),
            json!(subjects(item, "Group")),
            json!(subjects(item, "ServiceAccount")),
        ]
    },
);

/// The subjects of one kind; service accounts with their namespace.
fn subjects(binding: &Value, kind: &str) -> String {
    let of_kind = list(binding, "/subjects")
        .iter()
        .filter(|subject| text(subject, "/kind") == kind);
    let names: Vec<String> = of_kind
        .map(|subject| match kind {
            "ServiceAccount" => format!("{}/{}", text(subject, "/namespace"), text(subject, "/name")),
            _ => text(subject, "/name").to_owned(),
        })
        .collect();
    names.join(", ")
}
