//! What a status becomes when its node tells it: the node's word, and what others have written beside it. Pure.
//!
//! A condition belongs to who writes its type. Its time of transition is the server's memory, not the agent's: an
//! agent that starts anew does not know since when a condition holds.

use serde_json::{Map, Value, json};

/// Fields of a pod's status that others than the node write, or that the node may not repeat.
const POD_KEPT: [&str; 4] = ["qosClass", "nominatedNodeName", "startTime", "resourceClaimStatuses"];

/// Conditions of a pod that are there while something is under way: what its node does not tell any more is over.
const POD_PASSING: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];

/// A pod's status as its node tells it, over the current one.
pub(super) fn pod(current: &Value, told: Value) -> Value {
    let is_over = |condition: &Value| {
        let kind = condition["type"].as_str().unwrap_or_default();
        POD_PASSING.contains(&kind) && find(&told, &condition["type"]).is_none()
    };
    let over: Vec<Value> = conditions(current)
        .filter(|condition| is_over(condition))
        .map(|condition| condition["type"].clone())
        .collect();
    let mut new = with_conditions(current, told);
    if let Some(list) = new.get_mut("conditions").and_then(Value::as_array_mut) {
        list.retain(|condition| !over.contains(&condition["type"]));
    }
    for field in POD_KEPT {
        if new.get(field).is_none()
            && let Some(kept) = current.get(field)
        {
            new[field] = kept.clone();
        }
    }
    new
}

/// A node's status as its agent tells it, over the current one.
pub(super) fn node(current: &Value, told: Value) -> Value {
    let told = with_conditions(current, told);
    let mut new = current.as_object().cloned().unwrap_or_default();
    if let Value::Object(told) = told {
        new.extend(told);
    }
    Value::Object(new)
}

/// Whether a condition that the agent has told is `Unknown` by now: the control plane thought the node dead.
pub(super) fn is_doubted(current: &Value, told: &Value) -> bool {
    conditions(told).any(|told| {
        find(current, &told["type"])
            .is_some_and(|current| current["status"] == "Unknown" && told["status"] != "Unknown")
    })
}

fn with_conditions(current: &Value, told: Value) -> Value {
    let mut told = match told {
        Value::Object(fields) => Value::Object(fields),
        _ => Value::Object(Map::new()),
    };
    let mut merged: Vec<Value> = Vec::new();
    for current in conditions(current) {
        match find(&told, &current["type"]) {
            Some(new) => {
                let mut new = new.clone();
                let since = &current["lastTransitionTime"];
                if new["status"] == current["status"] && !since.is_null() {
                    new["lastTransitionTime"] = since.clone();
                }
                merged.push(new);
            }
            None => merged.push(current.clone()),
        }
    }
    let added: Vec<Value> = conditions(&told)
        .filter(|new| find(current, &new["type"]).is_none())
        .cloned()
        .collect();
    merged.extend(added);
    if !merged.is_empty() {
        told["conditions"] = json!(merged);
    }
    told
}

fn conditions(status: &Value) -> impl Iterator<Item = &Value> {
    status["conditions"].as_array().into_iter().flatten()
}

fn find<'a>(status: &'a Value, kind: &Value) -> Option<&'a Value> {
    conditions(status).find(|condition| condition["type"] == *kind)
}

#[cfg(test)]
mod tests;
