//! The rows of jobs and cron jobs.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::{age, human, since},
    column::{AGE, NAME, Printer, column, list, number, text, text_or},
    workloads::template,
};

pub(super) static JOB: Printer = Printer::new(
    &[
        NAME,
        column("Status", "string", 0),
        column("Completions", "string", 0),
        column("Duration", "string", 0),
        AGE,
        column("Containers", "string", 1),
        column("Images", "string", 1),
        column("Selector", "string", 1),
    ],
    job,
);

pub(super) static CRON_JOB: Printer = Printer::new(
    &[
        NAME,
        column("Schedule", "string", 0),
        column("Timezone", "string", 0),
        column("Suspend", "boolean", 0),
        column("Active", "integer", 0),
        column("Last Schedule", "string", 0),
        AGE,
        column("Containers", "string", 1),
        column("Images", "string", 1),
        column("Selector", "string", 1),
    ],
    cron_job,
);

fn job(item: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        item["metadata"]["name"].clone(),
        json!(status(item)),
        json!(completions(item)),
        json!(duration(item, now)),
        age(item, now),
    ];
    cells.extend(template(&item["spec"]));
    cells
}

/// The state in one word: what has ended it, what ends it, what holds it.
fn status(item: &Value) -> &'static str {
    let has = |name: &str| {
        list(item, "/status/conditions")
            .iter()
            .any(|condition| text(condition, "/type") == name && text(condition, "/status") == "True")
    };
    let deleted = !item["metadata"]["deletionTimestamp"].is_null();
    let states = [
        (has("Complete"), "Complete"),
        (has("Failed"), "Failed"),
        (deleted, "Terminating"),
        (has("Suspended"), "Suspended"),
        (has("FailureTarget"), "FailureTarget"),
        (has("SuccessCriteriaMet"), "SuccessCriteriaMet"),
    ];
    states
        .into_iter()
        .find(|(holds, _)| *holds)
        .map_or("Running", |(_, state)| state)
}

fn completions(item: &Value) -> String {
    let succeeded = number(item, "/status/succeeded");
    let parallelism = number(item, "/spec/parallelism");
    match item["spec"]["completions"].as_i64() {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn duration(item: &Value, now: Timestamp) -> String {
    let time = |pointer: &str| text(item, pointer).parse::<Timestamp>().ok();
    let Some(start) = time("/status/startTime") else {
        return String::new();
    };
    let end = time("/status/completionTime").unwrap_or(now);
    human(end.as_second() - start.as_second())
}

fn cron_job(item: &Value, now: Timestamp) -> Vec<Value> {
    let suspended = match item["spec"]["suspend"].as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let last = match &item["status"]["lastScheduleTime"] {
        Value::Null => "<none>".to_owned(),
        last => since(last, now),
    };
    let mut cells = vec![
        item["metadata"]["name"].clone(),
        json!(text(item, "/spec/schedule")),
        text_or(item, "/spec/timeZone", "<none>"),
        json!(suspended),
        json!(list(item, "/status/active").len()),
        json!(last),
        age(item, now),
    ];
    cells.extend(template(&item["spec"]["jobTemplate"]["spec"]));
    cells
}
