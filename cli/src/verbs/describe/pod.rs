//! The page of a pod.

use serde_json::Value;

use super::Page;
use crate::client::object::{self, items, pairs, text};

pub(super) fn describe(page: &mut Page, pod: &Value) {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let node = match (text(&spec["nodeName"]), text(&status["hostIP"])) {
        (name, address) if address.is_empty() => name,
        (name, address) => format!("{name}/{address}"),
    };
    page.field(0, "Service Account", &text(&spec["serviceAccountName"]));
    page.field(0, "Node", &node);
    page.field(0, "Start Time", &text(&status["startTime"]));
    page.field(0, "Status", &text(&status["phase"]));
    for (name, value) in [("Reason", &status["reason"]), ("Message", &status["message"])] {
        if !value.is_null() {
            page.field(0, name, &text(value));
        }
    }
    page.field(0, "IP", &text(&status["podIP"]));
    for (title, list, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
    ] {
        if items(&spec[list]).is_empty() {
            continue;
        }
        page.line(0, &format!("{title}:"));
        for container in items(&spec[list]) {
            let status = items(&status[statuses])
                .iter()
                .find(|status| status["name"] == container["name"]);
            describe_container(page, container, status.unwrap_or(&Value::Null));
        }
    }
    page.conditions(pod);
    describe_volumes(page, items(&spec["volumes"]));
    page.values(0, "Node-Selectors", &pairs(&spec["nodeSelector"]));
    let tolerations: Vec<String> = items(&spec["tolerations"]).iter().map(toleration).collect();
    page.values(0, "Tolerations", &tolerations);
}

fn describe_container(page: &mut Page, container: &Value, status: &Value) {
    page.line(1, &format!("{}:", text(&container["name"])));
    page.field(2, "Container ID", &text(&status["containerID"]));
    page.field(2, "Image", &text(&container["image"]));
    page.field(2, "Image ID", &text(&status["imageID"]));
    page.container_ports(container);
    for (title, field) in [("Command", "command"), ("Args", "args")] {
        if !items(&container[field]).is_empty() {
            page.values(2, title, &items(&container[field]).iter().map(text).collect::<Vec<_>>());
        }
    }
    describe_state(page, "State", &status["state"]);
    if status["lastState"].as_object().is_some_and(|state| !state.is_empty()) {
        describe_state(page, "Last State", &status["lastState"]);
    }
    page.field(2, "Ready", if status["ready"] == true { "True" } else { "False" });
    page.field(
        2,
        "Restart Count",
        &status["restartCount"].as_u64().unwrap_or_default().to_string(),
    );
    for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let amounts = pairs(&container["resources"][field]);
        if !amounts.is_empty() {
            page.values(2, title, &amounts);
        }
    }
    for (title, field) in [
        ("Liveness", "livenessProbe"),
        ("Readiness", "readinessProbe"),
        ("Startup", "startupProbe"),
    ] {
        if container[field].is_object() {
            page.field(2, title, &container[field].to_string());
        }
    }
    page.values(
        2,
        "Environment",
        &items(&container["env"]).iter().map(variable).collect::<Vec<_>>(),
    );
    let mounts = items(&container["volumeMounts"]).iter().map(|mount| {
        let mode = if mount["readOnly"] == true { "ro" } else { "rw" };
        format!("{} from {} ({mode})", text(&mount["mountPath"]), text(&mount["name"]))
    });
    page.values(2, "Mounts", &mounts.collect::<Vec<_>>());
}

fn describe_state(page: &mut Page, title: &str, state: &Value) {
    let Some((name, details)) = state.as_object().and_then(|state| state.iter().next()) else {
        page.field(2, title, "Waiting");
        return;
    };
    let mut capital = name.clone();
    capital[..1].make_ascii_uppercase();
    page.field(2, title, &capital);
    for (title, field) in [
        ("Reason", "reason"),
        ("Message", "message"),
        ("Exit Code", "exitCode"),
        ("Signal", "signal"),
        ("Started", "startedAt"),
        ("Finished", "finishedAt"),
    ] {
        if !details[field].is_null() {
            page.field(3, title, &text(&details[field]));
        }
    }
}

fn variable(variable: &Value) -> String {
    let name = text(&variable["name"]);
    let from = &variable["valueFrom"];
    let reference = |kind: &str, what: &str| {
        let source = &from[kind];
        format!(
            "{name}: <set to the key '{}' in {what} '{}'>",
            text(&source["key"]),
            text(&source["name"])
        )
    };
    if from["configMapKeyRef"].is_object() {
        reference("configMapKeyRef", "config map")
    } else if from["secretKeyRef"].is_object() {
        reference("secretKeyRef", "secret")
    } else if from["fieldRef"].is_object() {
        format!("{name}: ({})", text(&from["fieldRef"]["fieldPath"]))
    } else if from["resourceFieldRef"].is_object() {
        format!("{name}: ({})", text(&from["resourceFieldRef"]["resource"]))
    } else {
        format!("{name}: {}", text(&variable["value"]))
    }
}

fn describe_volumes(page: &mut Page, volumes: &[Value]) {
    if volumes.is_empty() {
        page.field(0, "Volumes", "");
        return;
    }
    page.line(0, "Volumes:");
    for volume in volumes {
        page.line(1, &format!("{}:", object::text(&volume["name"])));
        for (kind, source) in volume
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != "name")
        {
            page.field(2, "Type", kind);
            for (key, value) in source.as_object().into_iter().flatten() {
                page.field(
                    2,
                    key,
                    &if value.is_array() || value.is_object() {
                        value.to_string()
                    } else {
                        text(value)
                    },
                );
            }
        }
    }
}

fn toleration(toleration: &Value) -> String {
    let mut shown = text(&toleration["key"]);
    if !toleration["value"].is_null() {
        shown.push_str(&format!("={}", text(&toleration["value"])));
    }
    if !toleration["effect"].is_null() {
        shown.push_str(&format!(":{}", text(&toleration["effect"])));
    }
    if toleration["operator"] == "Exists" {
        shown.push_str(" op=Exists");
    }
    if let Some(seconds) = toleration["tolerationSeconds"].as_i64() {
        shown.push_str(&format!(" for {seconds}s"));
    }
    shown.trim().to_owned()
}
