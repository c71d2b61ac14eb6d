//! The rows of classes of priority and of runtimes.

use serde_json::json;

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, number, text},
};

pub(super) static PRIORITY_CLASS: Printer = Printer::new(
    &[
        NAME,
        column("Value", "integer", 0),
        column("Global-Default", "boolean", 0),
        AGE,
        column("PreemptionPolicy", "string", 0),
    ],
    |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            json!(number(item, "/value")),
            json!(item["globalDefault"] == true),
            age(item, now),
            json!(text(item, "/preemptionPolicy")),
        ]
    },
);

pub(super) static RUNTIME_CLASS: Printer = Printer::new(&[NAME, column("Handler", "string", 0), AGE], |item, now| {
    vec![
        item["metadata"]["name"].clone(),
        json!(text(item, "/handler")),
        age(item, now),
    ]
});
