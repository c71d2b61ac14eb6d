//! The rows of resource quotas.

use serde_json::{Value, json};

use super::{
    age::age,
    column::{AGE, NAME, Printer, column, map, quantity},
};

pub(super) static QUOTA: Printer = Printer::new(
    &[NAME, column("Request", "string", 0), column("Limit", "string", 0), AGE],
    |item, now| {
        let is_limit = |name: &str| name.starts_with("limits.");
        vec![
            item["metadata"]["name"].clone(),
            json!(amounts(item, |name| !is_limit(name))),
            json!(amounts(item, is_limit)),
            age(item, now),
        ]
    },
);

/// `pods: 1/10, services: 0/5`: what is used of what there is.
fn amounts(item: &Value, shown: impl Fn(&str) -> bool) -> String {
    let mut names: Vec<&String> = map(item, "/status/hard")
        .into_iter()
        .flat_map(|hard| hard.keys())
        .collect();
    names.sort();
    let amounts: Vec<String> = names
        .into_iter()
        .filter(|name| shown(name))
        .map(|name| {
            // A slash in a name would be read as a step.
            let name_in_pointer = name.replace('~', "~0").replace('/', "~1");
            let amount = |list: &str| quantity(item, &format!("/status/{list}/{name_in_pointer}"));
            format!("{name}: {}/{}", amount("used"), amount("hard"))
        })
        .collect();
    amounts.join(", ")
}
