//! Conditions in a status of raw JSON.
//!
//! Source: Kubernetes API conventions, "Typical status properties".

use api::Timestamp;
use serde_json::{Value, json};

/// The conditions of a status.
pub(crate) struct Conditions<'a> {
    list: &'a mut Vec<Value>,
    now: Timestamp,
}

impl Conditions<'_> {
    pub(crate) fn of(status: &mut Value, now: Timestamp) -> Conditions<'_> {
        let slot = &mut status["conditions"];
        if !slot.is_array() {
            *slot = json!([]);
        }
        Conditions {
            list: slot.as_array_mut().expect("made a list just above"),
            now,
        }
    }

    pub(crate) fn has(&self, kind: &str, status: &str) -> bool {
        self.list
            .iter()
            .any(|condition| condition["type"] == kind && condition["status"] == status)
    }

    /// The time is that of the last change of the status.
    pub(crate) fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let new = json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        match self.list.iter_mut().find(|condition| condition["type"] == kind) {
            Some(condition) if condition["status"] == status => {
                condition["reason"] = json!(reason);
                condition["message"] = json!(message);
            }
            Some(condition) => *condition = new,
            None => self.list.push(new),
        }
    }
}
