//! The row of a pod: its readiness, its state in one word, its restarts.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::{age, since},
    column::{AGE, NAME, Printer, column, list, number, text, text_or},
};

pub(super) static POD: Printer = Printer {
    columns: &[
        NAME,
        column("Ready", "string", 0),
        column("Status", "string", 0),
        column("Restarts", "string", 0),
        AGE,
        column("IP", "string", 1),
        column("Node", "string", 1),
        column("Nominated Node", "string", 1),
        column("Readiness Gates", "string", 1),
    ],
    cells,
    condition,
};

fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = summary(pod);
    let restarts = match (summary.restarts, summary.restarted_at) {
        (0, _) | (_, None) => summary.restarts.to_string(),
        (restarts, Some(at)) => {
            let ago = since(&json!(at.to_string()), now);
            format!("{restarts} ({ago} ago)")
        }
    };
    let ip = match text(pod, "/status/podIPs/0/ip") {
        "" => text_or(pod, "/status/podIP", "<none>"),
        ip => json!(ip),
    };
    vec![
        pod["metadata"]["name"].clone(),
        json!(format!("{}/{}", summary.ready, summary.total)),
        json!(summary.reason),
        json!(restarts),
        age(pod, now),
        ip,
        text_or(pod, "/spec/nodeName", "<none>"),
        text_or(pod, "/status/nominatedNodeName", "<none>"),
        json!(readiness_gates(pod)),
    ]
}

/// Pods that have ended are marked, so that clients can tell them apart.
fn condition(pod: &Value) -> Option<Value> {
    let (reason, message) = match text(pod, "/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!({ "type": "Completed", "status": "True", "reason": reason, "message": message }))
}

struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i64,
    restarted_at: Option<Timestamp>,
}

impl Summary {
    fn count_restarts(&mut self, container: &Value) {
        self.restarts += number(container, "/restartCount");
        let ended = text(container, "/lastState/terminated/finishedAt").parse().ok();
        self.restarted_at = self.restarted_at.max(ended);
    }
}

fn summary(pod: &Value) -> Summary {
    let sidecars: Vec<&str> = list(pod, "/spec/initContainers")
        .iter()
        .filter(|container| text(container, "/restartPolicy") == "Always")
        .map(|container| text(container, "/name"))
        .collect();
    let mut summary = Summary {
        ready: 0,
        total: list(pod, "/spec/containers").len() + sidecars.len(),
        reason: match text(pod, "/status/reason") {
            "" => text(pod, "/status/phase").to_owned(),
            reason => reason.to_owned(),
        },
        restarts: 0,
        restarted_at: None,
    };
    if condition_of(pod, "PodScheduled").is_some_and(|condition| text(condition, "/reason") == "SchedulingGated") {
        summary.reason = "SchedulingGated".to_owned();
    }
    let initialized = match init_containers(pod, &sidecars, &mut summary) {
        Init::Underway => is_true(pod, "Initialized"),
        Init::Done => true,
    };
    if initialized {
        // The restarts of what only initialised no longer matter.
        (summary.restarts, summary.restarted_at) = (0, None);
        for status in list(pod, "/status/initContainerStatuses") {
            if sidecars.contains(&text(status, "/name")) {
                summary.count_restarts(status);
            }
        }
        containers(pod, &mut summary);
    }
    if !pod["metadata"]["deletionTimestamp"].is_null() {
        if text(pod, "/status/reason") == "NodeLost" {
            summary.reason = "Unknown".to_owned();
        } else if !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
            summary.reason = "Terminating".to_owned();
        }
    }
    summary
}

enum Init {
    Underway,
    Done,
}

fn init_containers(pod: &Value, sidecars: &[&str], summary: &mut Summary) -> Init {
    let total = list(pod, "/spec/initContainers").len();
    for (index, status) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
        summary.count_restarts(status);
        let terminated = &status["state"]["terminated"];
        if terminated.is_object() && number(terminated, "/exitCode") == 0 {
            continue;
        }
        if sidecars.contains(&text(status, "/name")) && status["started"] == true {
            if status["ready"] == true {
                summary.ready += 1;
            }
            continue;
        }
        let waiting = text(status, "/state/waiting/reason");
        summary.reason = if terminated.is_object() {
            format!("Init:{}", ended(terminated))
        } else if !waiting.is_empty() && waiting != "PodInitializing" {
            format!("Init:{waiting}")
        } else {
            format!("Init:{index}/{total}")
        };
        return Init::Underway;
    }
    Init::Done
}

fn containers(pod: &Value, summary: &mut Summary) {
    let mut has_running = false;
    for status in list(pod, "/status/containerStatuses").iter().rev() {
        summary.count_restarts(status);
        let waiting = text(status, "/state/waiting/reason");
        let terminated = &status["state"]["terminated"];
        if !waiting.is_empty() {
            summary.reason = waiting.to_owned();
        } else if terminated.is_object() {
            summary.reason = ended(terminated);
        } else if status["ready"] == true && status["state"]["running"].is_object() {
            has_running = true;
            summary.ready += 1;
        }
    }
    if summary.reason == "Completed" && has_running {
        let reason = if is_true(pod, "Ready") { "Running" } else { "NotReady" };
        summary.reason = reason.to_owned();
    }
}

/// Why a container ended.
fn ended(terminated: &Value) -> String {
    match (text(terminated, "/reason"), number(terminated, "/signal")) {
        ("", 0) => format!("ExitCode:{}", number(terminated, "/exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates
        .iter()
        .filter(|gate| is_true(pod, text(gate, "/conditionType")))
        .count();
    format!("{open}/{}", gates.len())
}

fn condition_of<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    list(pod, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == name)
}

fn is_true(pod: &Value, name: &str) -> bool {
    condition_of(pod, name).is_some_and(|condition| text(condition, "/status") == "True")
}
