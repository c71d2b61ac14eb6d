//! The rows of config maps, secrets and service accounts.

use serde_json::{Value, json};

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, list, map},
};

pub(super) static CONFIG_MAP: Printer = Printer::new(&[NAME, column("Data", "string", 0), AGE], |item, now| {
    let data = entries(item, "/data") + entries(item, "/binaryData");
    vec![item["metadata"]["name"].clone(), json!(data), age(item, now)]
});

pub(super) static SECRET: Printer = Printer::new(
    &[NAME, column("Type", "string", 0), column("Data", "string", 0), AGE],
    |item, now| {
        vec![
            item["metadata"]["name"].clone(),
            item["type"].clone(),
            json!(entries(item, "/data")),
            age(item, now),
        ]
    },
);

pub(super) static SERVICE_ACCOUNT: Printer = Printer::new(&[NAME, column("Secrets", "string", 0), AGE], |item, now| {
    let secrets = list(item, "/secrets").len();
    vec![item["metadata"]["name"].clone(), json!(secrets), age(item, now)]
});

fn entries(item: &Value, pointer: &str) -> usize {
    map(item, pointer).map_or(0, |map| map.len())
}
